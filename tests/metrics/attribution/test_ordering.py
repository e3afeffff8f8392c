from __future__ import annotations

import pytest
import torch

from harness.metrics.attribution._ordering import blend


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("together", [True, False])
def test_each_number_is_exactly_of_the_start_or_the_end(dtype, together):
    """Of any type and size, whether channels go together, and for places that are never reached."""
    torch.manual_seed(0)
    shape = (3, 2, 5, 4)
    start, end = torch.randn(shape).to(dtype), (torch.randn(shape) * 1e4).to(dtype)
    start[0], end[1] = end[0] * 1e-4, 0.0
    count = 20 if together else 40
    places = torch.stack([torch.randperm(count) for _ in range(3)]).int()
    places[:, :3] = torch.iinfo(torch.int32).max
    first, beyond = torch.tensor([0, 0, 7, 12], dtype=torch.int32), torch.tensor([0, 9, 9, count], dtype=torch.int32)
    rows, steps = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 3, 1, 2, 1, 3])
    found = blend(start, end, places, first, beyond)(rows, steps)
    for each, row, step in zip(found, rows.tolist(), steps.tolist(), strict=True):
        for number in range(40):
            place = int(places[row, number % 20 if together else number])
            side = end if first[step] <= place < beyond[step] else start
            assert each.flatten()[number] == side[row].flatten()[number]

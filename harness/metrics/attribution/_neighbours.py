"""Inputs near each sample: made a few samples at a time, run, and explained again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.metrics.attribution.explanations import AT_ONCE, explained

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.metrics.attribution.map_batch import MapBatch

    Near = Callable[[int], Tensor]
    """Inputs (draws, c, *spatial) near the sample of this position. Made for one pass: each sample is asked once."""
    Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def noisy(samples: MapBatch, purpose: str, draws: int, noise: Noise) -> Near:
    """MapBatch plus noise of their own streams; of one purpose, draws and noise it is the same for all metrics."""
    import torch

    generators = samples.generators(purpose)

    def near(row: int) -> Tensor:
        one = samples.inputs[row].detach()
        drawn = torch.from_numpy(noise(generators[row], (draws, *one.shape)))
        return (one.to(torch.float64) + drawn).to(one.dtype)

    return near


def translated(one: Tensor, offsets: Sequence[float]) -> Tensor:
    """A point cloud (c, p), moved along its first coordinate by each of the offsets: (m, c, p)."""
    moved = one.detach().repeat(len(offsets), 1, 1)
    moved[:, 0] += moved.new_tensor(offsets)[:, None]
    return moved


def shifted(one: Tensor, moves: Sequence[int], fill: Tensor) -> Tensor:
    """An image or volume (c, *spatial), moved along its last axis by each of the moves: (m, c, *spatial).

    fill (m, c): what enters at the border.
    """
    width = one.shape[-1]
    moved = fill.to(one.dtype).view(*fill.shape, *[1] * (one.ndim - 1)).repeat(1, 1, *one.shape[1:])
    for each, move in zip(moved, moves, strict=True):
        if 0 <= move < width:
            each[..., move:] = one[..., : width - move]
        elif -width < move < 0:
            each[..., :move] = one[..., -move:]
    return moved


def measured(samples: MapBatch, draws: int, near: Near, measure: Callable[[slice, Tensor], Tensor]) -> Tensor:
    """What is measured of nearby inputs, (n, draws, ...).

    measure: of rows of samples and all inputs near them (r * draws, c, *spatial), the values (r * draws, ...). No
    more inputs are made at once than may be asked about at once; those near one sample stay together.
    """
    import torch

    size = max(1, AT_ONCE // draws)
    parts = []
    for start in range(0, len(samples), size):
        rows = slice(start, min(start + size, len(samples)))
        inputs = torch.cat([near(row) for row in range(rows.start, rows.stop)])
        parts.append(measure(rows, inputs).unflatten(0, (-1, draws)))
    values: Tensor = torch.cat(parts)
    return values


def asked(samples: MapBatch, draws: int, near: Near, measure: Callable[[slice, Tensor, Tensor], Tensor]) -> Tensor:
    """What is measured of the method's maps of nearby inputs, (n, draws, ...).

    measure: of rows of samples, the inputs near them (r, draws, c * p), and the method's maps of these, number by
    number (r, draws, c * p), both float64, the values (r, draws, ...).
    """
    import torch

    def ask(rows: slice, inputs: Tensor) -> Tensor:
        targets = samples.targets[rows].repeat_interleave(draws)
        maps = explained(samples, inputs, targets).elements.unflatten(0, (-1, draws))
        return measure(rows, inputs.to(torch.float64).flatten(1).view_as(maps), maps).flatten(0, 1)

    return measured(samples, draws, near, ask)


def patch_sums(values: Tensor, width: int) -> Tensor:
    """Sums (m, patches) of (m, c, *spatial) over channels and cubes of this width; the last along an axis is smaller."""
    sums = values.sum(dim=1)
    for axis in range(1, sums.ndim):
        sums = _sums_along(sums, axis, width)
    return sums.flatten(1)


def _sums_along(values: Tensor, axis: int, width: int) -> Tensor:
    import torch

    return torch.stack([part.sum(dim=axis) for part in values.split(width, dim=axis)], dim=axis)


def norm(values: Tensor) -> Tensor:
    """Euclidean, of the last axis."""
    import torch

    lengths: Tensor = torch.linalg.vector_norm(values, dim=-1)
    return lengths

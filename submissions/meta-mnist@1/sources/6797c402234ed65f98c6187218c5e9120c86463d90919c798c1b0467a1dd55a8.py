"""A reference row: what chance is worth as a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import attribution_metric

if TYPE_CHECKING:
    from torch import Tensor, nn


@attribution_metric(version="1.0", higher_is_better=True, criterion="faithfulness", reference=True)
def random_score(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor) -> Tensor:
    """Uniform noise drawn from a hash of each map and its input, so that order changes nothing."""
    import hashlib

    import torch

    pairs = zip(inputs.cpu().contiguous().numpy(), maps.cpu().contiguous().numpy(), strict=True)
    digests = [hashlib.sha256(one.tobytes() + its_map.tobytes()).digest() for one, its_map in pairs]
    return torch.tensor([int.from_bytes(digest[:4], "big") / 2**32 for digest in digests], dtype=torch.float64)

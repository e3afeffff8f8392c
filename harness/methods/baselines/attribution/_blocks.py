"""The features that perturbation methods switch on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._maps import scaled

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.context import Context

SAMPLES = 10
"""Of LATEC: far fewer than features, so that maps are coarse and noisy."""

_BLOCK = {"image": 16, "volume": 7}


def blocks(inputs: Tensor, context: Context) -> Tensor | None:
    """The number of each place's feature, (1, 1, *spatial); None where every number is a feature, as for points.

    LATEC's squares of 16 pixels and cubes of 7 voxels, for sides of 224 pixels or 28 voxels.
    """
    import torch

    if context.modality not in _BLOCK:
        return None
    numbers = torch.zeros((), dtype=torch.long, device=inputs.device)
    for side in inputs.shape[2:]:
        place = torch.arange(side, device=inputs.device) // scaled(_BLOCK[context.modality], side, context)
        numbers = numbers[..., None] * (int(place[-1]) + 1) + place
    return numbers[None, None]

"""Sizes that grow with the input, and from coarse maps to maps of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.outputs import NotOfferedError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.context import Context

_PUBLISHED_SIDE = {"image": 224, "volume": 28}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def scaled(length: int, side: int, context: Context) -> int:
    """A length that LATEC gives for images of 224 pixels or volumes of 28 voxels, for an input with this side.

    A point for point clouds of any size: neighbours in a list of points are no neighbours in space.
    """
    published = _PUBLISHED_SIDE.get(context.modality)
    return 1 if published is None else max(1, round(length * side / published))


def enlarged(coarse: Tensor, spatial: tuple[int, ...], *, nearest: bool = False) -> Tensor:
    """Maps (n, channels, *grid) as (n, channels, *spatial), linear along each axis or of the nearest neighbour."""
    import torch.nn.functional as F

    if tuple(coarse.shape[2:]) == spatial:
        return coarse
    if len(spatial) not in _LINEAR:
        raise NotOfferedError("the tokens of this model stand for no single points")
    if nearest:
        return F.interpolate(coarse, size=spatial, mode="nearest")
    return F.interpolate(coarse, size=spatial, mode=_LINEAR[len(spatial)], align_corners=False)


def to_unit_range(maps: Tensor, epsilon: float = 0.0) -> Tensor:
    """Maps (n, 1, *spatial) between 0 and 1, each by itself; a constant map becomes 0.

    epsilon: added to the range of a map that is divided by it, so that nearly constant maps end below 1.
    """
    flat = maps.flatten(1)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    spread = (high - low).where(high > low, flat.new_ones(()))
    return ((flat - low) / (spread + epsilon)).view(maps.shape)

"""Patches: boxes of voxels in an image, given by their low corner and size in array order, mostly (z, y, x).

A box covers `corner <= voxel < corner + size` in every axis. Two boxes that only touch do not overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]
Size = tuple[int, ...]
Box = tuple[Corner, Size | Literal["whole"]]
"""Low corner and size in voxels; "whole" is all of the image, whatever the corner."""
Annotated = Mapping[str, Collection[Box]]
"""The boxes whose labels are known, by image."""


class Patch(NamedTuple):
    """A box of one image."""

    image: str
    corner: Corner
    size: Size | Literal["whole"]

    @property
    def box(self) -> Box:
        return self.corner, self.size


def check_patches(
    patches: Sequence[Patch],
    shapes: Mapping[str, Sequence[int]],
    annotated: Annotated | None = None,
    count: int | None = None,
) -> None:
    """Raise ValueError unless the patches are a valid query: exactly `count` of them if given, all inside images
    of `shapes`, without overlap among each other or with `annotated` boxes."""
    if count is not None and len(patches) != count:
        raise ValueError(f"the query has {len(patches)} patches, its budget is {count}.")
    for image, boxes in by_image(patches).items():
        if image not in shapes:
            raise ValueError(f"{boxes[0]} lies in {image!r}, which is not an image of the pool.")
        try:
            placed = [within(box, shapes[image]) for box in boxes]
            known = [within(box, shapes[image]) for box in (annotated or {}).get(image, ())]
        except ValueError as error:
            raise ValueError(f"image {image!r}: {error}") from error
        for one, other in np.argwhere(np.triu(overlaps(placed, placed), k=1)):
            raise ValueError(
                f"image {image!r}: {described(placed[one])} and {described(placed[other])} of the query overlap."
            )
        for one, other in np.argwhere(overlaps(placed, known)):
            raise ValueError(
                f"image {image!r}: {described(placed[one])} overlaps {described(known[other])}, which is annotated."
            )


def by_image(patches: Iterable[Patch]) -> dict[str, list[Box]]:
    """The boxes of each image, as `annotated` arguments take them."""
    boxes: dict[str, list[Box]] = {}
    for patch in patches:
        boxes.setdefault(patch.image, []).append(patch.box)
    return boxes


def within(box: Box, shape: Sequence[int]) -> tuple[Corner, Size]:
    """The box with its size in voxels; ValueError if it has no voxel or leaves an image of this shape."""
    corner, size = box
    if size == "whole":
        return (0,) * len(shape), tuple(shape)
    if not len(corner) == len(size) == len(shape):
        raise ValueError(f"a box of corner {corner} and size {size} does not fit an image of {len(shape)} axes.")
    if min(size) < 1:
        raise ValueError(f"a box of size {size} has no voxel.")
    if any(low < 0 or low + extent > end for low, extent, end in zip(corner, size, shape, strict=True)):
        raise ValueError(f"{described((corner, size))} leaves the image of shape {tuple(shape)}.")
    return tuple(corner), tuple(size)


def overlaps(ones: Sequence[tuple[Corner, Size]], others: Sequence[tuple[Corner, Size]]) -> NDArray[np.bool_]:
    """Whether boxes of one image share a voxel: (ones, others)."""
    if not ones or not others:
        return np.zeros((len(ones), len(others)), dtype=bool)
    low, extent = (np.array(part)[:, None] for part in zip(*ones, strict=True))
    far, far_extent = (np.array(part)[None] for part in zip(*others, strict=True))
    shared: NDArray[np.bool_] = np.all((low < far + far_extent) & (far < low + extent), axis=-1)
    return shared


def described(box: tuple[Corner, Size]) -> str:
    return f"the patch at {box[0]} of size {box[1]}"


def clipped(patch_size: Sequence[int], shape: Sequence[int]) -> Size:
    """The size of a patch in an image: that of the image where the image is smaller. ValueError if they do not fit."""
    if len(patch_size) != len(shape):
        raise ValueError(f"patch_size {tuple(patch_size)} has {len(patch_size)} axes, the image has {len(shape)}.")
    if min(patch_size) < 1 or min(shape) < 1:
        raise ValueError(f"patch_size {tuple(patch_size)} and image shape {tuple(shape)} must be positive.")
    return tuple(min(int(extent), int(end)) for extent, end in zip(patch_size, shape, strict=True))


def colliding(corners: Sequence[NDArray[np.intp]], size: Size, box: tuple[Corner, Size]) -> tuple[slice, ...]:
    """Where patches of `size` would overlap `box`, on a grid of patches whose low corners are, per axis, `corners`
    in ascending order: everything with an index in this block, and nothing else."""
    low, extent = box
    starts = [np.searchsorted(at, a - p, side="right") for at, p, a in zip(corners, size, low, strict=True)]
    stops = [np.searchsorted(at, a + e, side="left") for at, a, e in zip(corners, low, extent, strict=True)]
    return tuple(slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))

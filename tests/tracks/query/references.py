"""Slow and obvious counterparts of the room's functions, and random inputs for both."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st


def voxels(box, shape):
    """The voxels of a box, as a set."""
    corner, size = box
    if size == "whole":
        corner, size = [0] * len(shape), shape
    return set(product(*(range(low, low + extent) for low, extent in zip(corner, size, strict=True))))


def patch_means(values, patch_size, stride):
    """Corner -> mean, by cutting out every patch."""
    size = [min(p, n) for p, n in zip(patch_size, values.shape, strict=True)]
    grid = product(*(range(0, n - p + 1, s) for n, p, s in zip(values.shape, size, stride, strict=True)))
    cut = {corner: values[tuple(slice(c, c + p) for c, p in zip(corner, size, strict=True))] for corner in grid}
    return {corner: float(np.mean(patch, dtype=np.longdouble)) for corner, patch in cut.items()}, tuple(size)


def candidates(values, patch_size, stride, annotated, most):
    """Greedy selection by comparing voxel sets; of equal scores the last position in scan order."""
    means, size = patch_means(values, patch_size, stride)
    covered = set().union(*(voxels(box, values.shape) for box in annotated))
    found = []
    for corner, mean in sorted(means.items(), key=lambda item: (item[1], item[0]), reverse=True):
        box = voxels((corner, size), values.shape)
        if len(found) < most and not box & covered:
            found.append((corner, size, mean))
            covered |= box
    return found


@st.composite
def scenes(draw, most_images=3):
    """A small query on maps of whole numbers, so that means are exact and ties are frequent."""
    axes = draw(st.integers(2, 3))
    longest = {2: 9, 3: 6}[axes]

    def vector(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))

    patch, stride = vector(1, 4), vector(1, 3)
    maps, annotated = {}, {}
    for k in range(draw(st.integers(1, most_images))):
        shape = vector(1, longest)
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        levels = draw(st.sampled_from([1, 2, 5, 1000]))
        maps[f"image {k}"] = rng.integers(-levels, levels, shape).astype(draw(st.sampled_from(["f4", "f8", "i2"])))
        annotated[f"image {k}"] = [box_in(shape, rng) for _ in range(draw(st.integers(0, 2)))]
    return maps, patch, stride, annotated


def box_in(shape, rng):
    size = tuple(int(rng.integers(1, n + 1)) for n in shape)
    return tuple(int(rng.integers(0, n - s + 1)) for n, s in zip(shape, size, strict=True)), size

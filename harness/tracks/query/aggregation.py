"""From voxel scores to patch scores: the mean of a map in every patch of a strided grid.

Box sums come from summed-area tables (Crow 1984), one axis after the other: the cost does not depend on the patch
size. The sums are taken over integers: a map is scaled by a power of two and cut to whole numbers, so that sums are
exact, patches of equal content have equal scores, and a tie is a tie instead of rounding noise that depends on the
position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.tracks.query.geometry import clipped

_ENTRIES = 1 << 17  # entries of the table that are summed at once: a bound on memory


def patch_means(scores: ArrayLike, patch_size: Sequence[int], stride: Sequence[int]) -> NDArray[np.float64]:
    """The mean of the map in every patch whose low corner is a multiple of the stride in every axis.

    scores: a real, finite map of any number of axes, as (z, y, x). A patch longer than the map is clipped to it;
    entry (i, j, k) of the result belongs to the corner (i, j, k) * stride, and no patch leaves the map. Relative to
    the largest magnitude in the map (if above 1e-280), the error is at most 1e-18 times the voxels of a patch, or
    1e-15 if that is more. Besides the map, the memory is one table of int64: as large as the map at stride 1, and far
    smaller at others. ValueError for a map that is empty, not real or not finite, and for sizes or strides that do
    not fit it.
    """
    values = np.asarray(scores)
    if values.dtype.kind not in "biuf" or values.size == 0 or values.ndim == 0:
        raise ValueError(f"a score map must hold real numbers, got shape {values.shape} of {values.dtype}.")
    size = clipped(patch_size, values.shape)
    if len(stride) != values.ndim or min(stride) < 1:
        raise ValueError(f"stride {tuple(stride)} must be positive and have {values.ndim} axes.")
    voxels = math.prod(size)
    exponent = _exponent(_largest(values), voxels)
    table = _columns(values, size, stride, exponent)
    return _means(table, values.shape[0], size[0], stride[0], voxels, exponent)


def any_in_patch(mask: NDArray[np.bool_], patch_size: Sequence[int], stride: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each patch, in the order of `patch_means`, has a voxel of the mask."""
    found: NDArray[np.bool_] = patch_means(mask, patch_size, stride) > 0
    return found


def _largest(values: NDArray[Any]) -> float:
    """The largest magnitude; ValueError for NaN and infinity, which the extremes show without a mask."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        wrong = np.argwhere(~np.isfinite(values))
        place = tuple(int(i) for i in wrong[0])
        raise ValueError(f"a score map must be finite: voxel {place} is {values[place].item()!r}, {len(wrong)} in all.")
    return max(-low, high)


def _exponent(largest: float, voxels: int) -> int:
    """k such that the sum of `voxels` numbers up to largest * 2**k fits int64, and each of them a float64."""
    bits = min(62 - math.ceil(math.log2(voxels)), 52)
    # 2**k must be a float itself: maps of nothing but the tiniest values keep fewer bits.
    return min(bits - math.frexp(largest)[1], 1000)


def _columns(values: NDArray[Any], size: Sequence[int], stride: Sequence[int], exponent: int) -> NDArray[np.int64]:
    """Sums over the patch in all axes but the first, and there over what lies between two borders of patches."""
    borders = _borders(values.shape[0], size[0], stride[0])
    counts = [(end - p) // s + 1 for end, p, s in zip(values.shape[1:], size[1:], stride[1:], strict=True)]
    table = np.empty((len(borders) - 1, *counts), dtype=np.int64)
    scaled = np.empty(values.shape[1:])
    for row, (start, stop) in enumerate(pairwise(borders.tolist())):
        plane = np.zeros(values.shape[1:], dtype=np.int64)
        for slab in values[start:stop]:
            np.multiply(slab, 2.0**exponent, out=scaled, dtype=np.float64)
            np.add(plane, scaled, out=plane, dtype=np.int64, casting="unsafe")  # cuts towards zero
        for axis in range(plane.ndim):
            first = np.arange(counts[axis]) * stride[1 + axis]
            plane = _differences(plane, axis, first, first + size[1 + axis])
        table[row] = plane
    return table


def _means(
    table: NDArray[np.int64], length: int, size: int, stride: int, voxels: int, exponent: int
) -> NDArray[np.float64]:
    """Sums along the first axis, as means. They take the place of the table, which has at least as many rows."""
    borders = _borders(length, size, stride)
    corners = np.arange((length - size) // stride + 1) * stride
    first, last = np.searchsorted(borders, corners), np.searchsorted(borders, corners + size)
    rows = table.reshape(len(table), -1)
    means = rows[: len(corners)].view(np.float64)
    step = max(1, _ENTRIES // len(table))
    for start in range(0, rows.shape[1], step):
        part = slice(start, start + step)
        means[:, part] = np.ldexp(_differences(rows[:, part], 0, first, last) / voxels, -exponent)
    return means.reshape(len(corners), *table.shape[1:])


def _borders(length: int, size: int, stride: int) -> NDArray[np.intp]:
    corners = np.arange((length - size) // stride + 1) * stride
    return np.unique(np.concatenate([corners, corners + size]))


def _differences(
    values: NDArray[np.int64], axis: int, first: NDArray[np.intp], last: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Sums over first[i] <= index < last[i] along one axis. Running sums may wrap: their differences do not."""
    shape = list(values.shape)
    shape[axis] += 1
    running = np.zeros(shape, dtype=np.int64)
    np.cumsum(values, axis=axis, out=running[(slice(None),) * axis + (slice(1, None),)])
    return running.take(last, axis=axis) - running.take(first, axis=axis)

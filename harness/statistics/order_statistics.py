"""Order statistics of all resamples at once: resamples are weights, so values are sorted once for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.uint16]
"""(observations, 1 + replicates), see `harness.statistics.resampling.shared_weights`. Column 0 is the sample itself."""

Whole = TypeVar("Whole", bound=NDArray[np.integer[Any]])

_ENTRIES = 2**22  # values of all replicates held at once: a bound on memory


def order_statistics(values: NDArray[np.float64], weights: Weights, places: Sequence[int]) -> NDArray[np.float64]:
    """The values at the given places (from 0, ascending) of every resample: (places, replicates).

    values: (rows, observations); a drawn observation brings its values of all rows.
    """
    order = np.argsort(values, axis=None, kind="stable")
    ascending, observation = values.ravel()[order], order % values.shape[1]
    width = np.min_scalar_type(values.size)
    found = np.empty((len(places), weights.shape[1]))
    some = max(1, _ENTRIES // values.size)
    for start in range(0, weights.shape[1], some):
        replicates = slice(start, start + some)
        filled = running_sums(weights[observation, replicates].astype(width, copy=False))
        for place, row in zip(places, found, strict=True):
            row[replicates] = ascending[np.sum(filled <= place, axis=0, dtype=width)]
    return found


def running_sums(steps: Whole) -> Whole:
    """Sums down each column, in place of what is given: (rows, columns) of a type that holds the sum of a column.

    As whole rows in blocks, because `cumsum` goes down the columns one by one, many times slower.
    """
    size = math.isqrt(len(steps))
    whole = len(steps) // size * size if size else 0
    blocks = steps[:whole].reshape(-1, max(1, size), steps.shape[1])
    for row in range(1, size):
        blocks[:, row] += blocks[:, row - 1]
    for number in range(1, len(blocks)):
        blocks[number] += blocks[number - 1, -1]
    for row in range(max(1, whole), len(steps)):
        steps[row] += steps[row - 1]
    return steps


def medians(values: NDArray[np.float64], weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper median of each row in every resample, each (rows, replicates)."""
    n = values.shape[1]
    pairs = np.stack([order_statistics(row[None], weights, [(n - 1) // 2, n // 2]) for row in values])
    return pairs[:, 0], pairs[:, 1]


def percentiles(values: NDArray[np.float64], weights: Weights, shares: Sequence[float]) -> list[NDArray[np.float64]]:
    """Percentiles of all values in every resample, linearly interpolated as `numpy.percentile` does."""
    positions = [share / 100 * (values.size - 1) for share in shares]
    floors = [int(position) for position in positions]
    ceilings = [min(floor + 1, values.size - 1) for floor in floors]
    found = order_statistics(values, weights, [*floors, *ceilings])
    ends = zip(positions, floors, found[: len(floors)], found[len(floors) :], strict=True)
    return [low + (high - low) * (position - floor) for position, floor, low, high in ends]

"""AUGRC of many resamples of one sample at once: the quick way for boards, to the same last digit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, is_binary
from harness.metrics._weighted import Sample

_MOST_SAMPLES = np.iinfo(np.int16).max


def quick(residual: NDArray[np.float64]) -> bool:
    """Whether `augrc_of_counts` may be used: residuals 0 or 1, and fewer than 2**15 samples."""
    return 0 < len(residual) <= _MOST_SAMPLES and is_binary(residual)


def augrc_of_counts(
    confidence: ArrayLike, residual: ArrayLike, counts: NDArray[np.int16], rows: NDArray[np.intp]
) -> FloatArray:
    """AUGRC on each resample: (replicates,), nan for one without samples.

    `confidence` and `residual` are (m,), the residuals 0 or 1. Sample i occurs `counts[rows[i], b]` times in resample
    b: one row of `counts` per sample, so that sums over ranges of confidence run along memory. All sums are of whole
    numbers and exact, so the result equals `weighted_replicates` bit by bit. ValueError for other residuals.
    """
    sample = Sample.of(confidence, residual)
    if not quick(sample.residual):
        raise ValueError(f"residual must be 0 or 1, for at most {_MOST_SAMPLES} samples.")
    order, starts = sample.ranking.order, sample.ranking.starts
    failing = np.flatnonzero(np.add.reduceat(sample.ranked_residual, starts))
    ends = np.append(starts[1:], len(order))[failing]
    members = sample.ranked_residual > 0  # of each failing group, those that fail
    error = _sums(counts, rows[order[members]], np.searchsorted(np.flatnonzero(members), starts[failing]))
    untied = len(starts) == len(order)
    weight = error if untied else _range_sums(counts, rows[order], starts[failing], ends)
    # Down to the end of each failing group, and to the end of the ranking.
    kept = np.cumsum(_sums(counts, rows[order], np.append(0, ends)), axis=0, dtype=np.int32)
    total = kept[-1].astype(np.int64)
    # Twice the samples below the middle of each group, which holds its share of the failures.
    doubled = 2 * kept[-1] - 2 * kept[:-1] + weight
    mass = np.einsum("gb,gb->b", doubled.astype(np.int64), error.astype(np.int64))
    with np.errstate(divide="ignore", invalid="ignore"):
        values: FloatArray = np.where(total > 0, (mass / 2) / total.astype(np.float64) ** 2, np.nan)
    return values


def _sums(counts: NDArray[np.int16], rows: NDArray[np.intp], starts: NDArray[np.intp]) -> NDArray[np.int16]:
    """Sums of the named rows of counts, from each start to the next: (starts, replicates)."""
    return _range_sums(counts, rows, starts, np.append(starts[1:], len(rows)))


def _range_sums(
    counts: NDArray[np.int16], rows: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.int16]:
    """The same from each start to its end; ranges do not overlap."""
    from scipy.sparse import csr_array

    inside = np.zeros(len(rows) + 1, dtype=np.int8)
    np.add.at(inside, starts, 1)
    np.add.at(inside, ends, -1)
    columns = rows[np.cumsum(inside[:-1]) > 0]
    bounds = np.append(0, np.cumsum(ends - starts))
    picked = csr_array((np.ones(len(columns), dtype=counts.dtype), columns, bounds), shape=(len(starts), len(counts)))
    sums: NDArray[np.int16] = picked @ counts
    return sums

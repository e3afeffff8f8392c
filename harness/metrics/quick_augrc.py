"""AUGRC of many resamples of one sample at once: the quick way for boards, to the same last digit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, is_binary
from harness.metrics._weighted import Sample

_MOST_SAMPLES = np.iinfo(np.int16).max
_ROWS = 64  # of some hundred replicates: what two arrays of them take stays in cache


def quick(residual: NDArray[np.float64], samples: int | None = None) -> bool:
    """Whether `augrc_of_counts` may be used: residuals 0 or 1, and resamples of fewer than 2**15 samples.

    samples: in a resample, where these residuals are only some of those that are drawn.
    """
    return 0 < len(residual) <= (samples or len(residual)) <= _MOST_SAMPLES and is_binary(residual)


def augrc_of_counts(
    confidence: ArrayLike, residual: ArrayLike, counts: NDArray[np.int16], rows: NDArray[np.intp]
) -> FloatArray:
    """AUGRC on each resample: (replicates,), nan for one without samples.

    `confidence` and `residual` are (m,), the residuals 0 or 1. Sample i occurs `counts[rows[i], b]` times in resample
    b: one row of `counts` per sample, so that sums over ranges of confidence run along memory. All sums are of whole
    numbers and exact as long as no resample has 2**15 samples, so the result equals `weighted_replicates` bit by bit.
    ValueError for other residuals.
    """
    sample = Sample.of(confidence, residual)
    if not quick(sample.residual):
        raise ValueError(f"residual must be 0 or 1, for at most {_MOST_SAMPLES} samples.")
    order, starts = sample.ranking.order, sample.ranking.starts
    failing = np.flatnonzero(np.add.reduceat(sample.ranked_residual, starts))
    ends = np.append(starts[1:], len(order))[failing]
    members = sample.ranked_residual > 0  # of each failing group, those that fail
    first = np.append(np.searchsorted(np.flatnonzero(members), starts[failing]), members.sum())
    error = _sums(counts, rows[order[members]], first)
    untied = len(starts) == len(order)
    weight = error if untied else _range_sums(counts, rows[order], starts[failing], ends)
    # Down to the end of each failing group, and to the end of the ranking.
    kept = _running_sums(_sums(counts, rows[order], np.concatenate([[0], ends, [len(order)]])))
    total = kept[-1].astype(np.int32)
    mass = np.zeros(len(total), dtype=np.int64)
    for start in range(0, len(error), _ROWS):
        some = slice(start, start + _ROWS)
        # Twice the samples below the middle of each group, which holds its share of the failures. All products of a
        # resample sum up to at most twice the square of its samples, which is less than 2**31.
        doubled = 2 * (total - kept[:-1][some]) + weight[some]
        mass += np.einsum("gb,gb->b", doubled, error[some].astype(np.int32))
    with np.errstate(divide="ignore", invalid="ignore"):
        values: FloatArray = np.where(total > 0, (mass / 2) / total.astype(np.float64) ** 2, np.nan)
    return values


def _running_sums(steps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Sums down each column; changes what it is given. A column sums up to at most the samples, fewer than 2**15.

    As whole rows in blocks, because `cumsum` goes down the columns one by one, many times slower.
    """
    whole = len(steps) // _ROWS * _ROWS
    blocks = steps[:whole].reshape(-1, _ROWS, steps.shape[1])
    for row in range(1, _ROWS):
        blocks[:, row] += blocks[:, row - 1]
    for number in range(1, len(blocks)):
        blocks[number] += blocks[number - 1, -1]
    for row in range(max(1, whole), len(steps)):
        steps[row] += steps[row - 1]
    return steps


def _range_sums(
    counts: NDArray[np.int16], rows: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.int16]:
    """Sums of the named rows of counts from each start to its end, which do not overlap: (starts, replicates)."""
    inside = np.zeros(len(rows) + 1, dtype=np.int8)
    np.add.at(inside, starts, 1)
    np.add.at(inside, ends, -1)
    return _sums(counts, rows[np.cumsum(inside[:-1]) > 0], np.append(0, np.cumsum(ends - starts)))


def _sums(counts: NDArray[np.int16], rows: NDArray[np.intp], bounds: NDArray[np.intp]) -> NDArray[np.int16]:
    """Sums of the named rows of counts from each bound, the first of them 0, to the next: (bounds - 1, replicates)."""
    from scipy.sparse import csr_array

    ones = np.ones(len(rows), dtype=counts.dtype)
    sums: NDArray[np.int16] = csr_array((ones, rows, bounds), shape=(len(bounds) - 1, len(counts))) @ counts
    return sums

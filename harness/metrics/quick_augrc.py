"""AUGRC of many resamples of one sample at once: the quick way for boards, to the same last digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, is_binary
from harness.metrics._weighted import Sample
from harness.statistics.order_statistics import running_sums

Counts = NDArray[np.signedinteger[Any]]

_MOST_SAMPLES = np.iinfo(np.int16).max  # twice its square is below 2**31
_AT_ONCE = 1 << 15  # numbers of two arrays that stay in cache


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
    return RankedFailures.of(sample).augrc(counts, rows)


@dataclass(frozen=True, eq=False)
class RankedFailures:
    """What of a sample with residuals 0 or 1 its AUGRC rests on, for as many resamples as are asked about.

    order (n,): samples by falling confidence. failing (f,): those of them that fail. Of the groups of equal confidence in
    which any sample fails, (g,): starts and ends in `order`; bounds (g + 1,): where they begin in `failing`.
    """

    order: NDArray[np.intp]
    failing: NDArray[np.intp]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    bounds: NDArray[np.intp]

    @classmethod
    def of(cls, sample: Sample) -> RankedFailures:
        order, starts = sample.ranking.order, sample.ranking.starts
        groups = np.flatnonzero(np.add.reduceat(sample.ranked_residual, starts))
        fails = np.flatnonzero(sample.ranked_residual)
        bounds = np.append(np.searchsorted(fails, starts[groups]), len(fails))
        return cls(order, order[fails], starts[groups], np.append(starts[1:], len(order))[groups], bounds)

    def augrc(self, counts: Counts, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """(replicates,) for `counts` and `rows` as in `augrc_of_counts`; without rows those of counts are the samples.

        The type of counts must hold the samples of a resample.
        """
        places = rows if rows is not None else np.arange(len(counts))
        untied = bool((self.ends - self.starts == 1).all())
        failing = places[self.failing]
        error = counts[failing] if untied else _sums(counts, failing, self.bounds)
        weight = error if untied else _range_sums(counts, places[self.order], self.starts, self.ends)
        # Down to the end of each failing group, and to the end of the ranking.
        kept = running_sums(_sums(counts, places[self.order], np.concatenate([[0], self.ends, [len(self.order)]])))
        # Twice a product of 16 bits fits into 32, and so does their sum over a resample: see `_MOST_SAMPLES`.
        narrow, wide = np.dtype(f"u{counts.dtype.itemsize}"), np.int32 if counts.dtype.itemsize == 2 else np.int64
        total = kept[-1].astype(np.int64)
        mass = 2 * total * error.sum(axis=0, dtype=wide)
        step = max(1, _AT_ONCE // len(total))
        for start in range(0, len(error), step):
            some = slice(start, min(start + step, len(error)))
            # Twice the samples above the middle of each group, which holds its share of the failures.
            doubled = kept[some].view(narrow)
            doubled *= 2
            doubled -= weight[some].view(narrow)
            mass -= np.einsum("gb,gb->b", doubled.astype(wide), error[some].astype(wide))
        with np.errstate(divide="ignore", invalid="ignore"):
            values: FloatArray = np.where(total > 0, (mass / 2) / total.astype(np.float64) ** 2, np.nan)
        return values


def _range_sums(counts: Counts, rows: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Counts:
    """Sums of the named rows of counts from each start to its end, which do not overlap: (starts, replicates)."""
    inside = np.zeros(len(rows) + 1, dtype=np.int8)
    np.add.at(inside, starts, 1)
    np.add.at(inside, ends, -1)
    return _sums(counts, rows[np.cumsum(inside[:-1]) > 0], np.append(0, np.cumsum(ends - starts)))


def _sums(counts: Counts, rows: NDArray[np.intp], bounds: NDArray[np.intp]) -> Counts:
    """Sums of the named rows of counts from each bound, the first of them 0, to the next: (bounds - 1, replicates)."""
    from scipy.sparse import csr_array

    ones = np.ones(len(rows), dtype=counts.dtype)
    sums: Counts = csr_array((ones, rows, bounds), shape=(len(bounds) - 1, len(counts))) @ counts
    return sums

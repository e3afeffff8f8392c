"""AUGRC of many resamples of one sample at once: the quick way for boards, to the same last digit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, is_binary
from harness.metrics._weighted import Sample

Counts = NDArray[np.unsignedinteger[Any]]
Places = NDArray[np.intp]

_MOST_SAMPLES = (1 << 15) - 1  # beyond that, the counts of all resamples at once take much memory
_ROWS_AT_LAST = 32  # what is left of the cells when they are no longer put together in pairs


def quick(residual: NDArray[np.float64], samples: int | None = None) -> bool:
    """Whether `augrc_of_counts` may be used: residuals 0 or 1, and resamples of fewer than 2**15 samples.

    samples: in a resample, where these residuals are only some of those that are drawn.
    """
    return 0 < len(residual) <= (samples or len(residual)) <= _MOST_SAMPLES and is_binary(residual)


def augrc_of_counts(
    confidence: ArrayLike, residual: ArrayLike, counts: NDArray[np.integer[Any]], rows: Places
) -> FloatArray:
    """AUGRC on each resample: (replicates,), nan for one without samples.

    `confidence` and `residual` are (m,), the residuals 0 or 1. Sample i occurs `counts[rows[i], b]` times in resample
    b: one row of `counts` per sample, so that sums over ranges of confidence run along memory. All sums are of whole
    numbers and exact, so the result equals `weighted_replicates` bit by bit. ValueError for other residuals.
    """
    sample = Sample.of(confidence, residual)
    if not quick(sample.residual):
        raise ValueError(f"residual must be 0 or 1, for at most {_MOST_SAMPLES} samples.")
    return RankedFailures.of(sample).augrc(narrow(counts), rows)


def narrow(counts: NDArray[np.integer[Any]]) -> Counts:
    """The same whole numbers >= 0 in the smallest type that holds the sum of at least eight of them."""
    return counts.astype(np.min_scalar_type(8 * int(counts.max(initial=0))), copy=False)


@dataclass(frozen=True, eq=False)
class RankedFailures:
    """What of a sample with residuals 0 or 1 its AUGRC rests on, for as many resamples as are asked about.

    order (n,): samples by falling confidence, of equal ones those that fail first; fails (n,): which do. Of the groups of
    equal confidence in which some fail and some do not: where they start, cease to fail, and end in `order`, each (g,).
    """

    order: Places
    fails: NDArray[np.bool_]
    starts: Places
    middles: Places
    ends: Places
    _sums: dict[tuple[np.dtype[Any], int], CellSums] = field(default_factory=dict, repr=False)
    """For counts without rows, of which the next ones most probably have the same type and bound."""

    @classmethod
    def of(cls, sample: Sample) -> RankedFailures:
        order, fails, starts = sample.ranking.order, sample.ranked_residual > 0, sample.ranking.starts
        if len(starts) == len(order):
            none = np.empty(0, dtype=np.intp)
            return cls(order, fails, none, none, none)
        ends = np.append(starts[1:], len(order))
        again = np.lexsort((~fails, np.repeat(starts, ends - starts)))
        order, fails = order[again], fails[again]
        middles = starts + np.add.reduceat(fails, starts, dtype=np.intp)
        mixed = (starts < middles) & (middles < ends)
        return cls(order, fails, starts[mixed], middles[mixed], ends[mixed])

    def augrc(self, counts: Counts, rows: Places | None = None) -> FloatArray:
        """(replicates,) for `counts`, which are `narrow`, and `rows` as in `augrc_of_counts`; without rows those of counts
        are the samples.

        A failure counts for each success above it. Both are summed in cells of some failures followed by some successes,
        so that no pair is within a cell, and cells are put together in pairs, in types that just hold the sums.
        """
        places = self.order if rows is None else rows[self.order]
        most = 1 << (int(counts.max(initial=1)) - 1).bit_length()
        at_most = max(1, np.iinfo(counts.dtype).max // most)  # samples of a cell
        cells = self._sums.get((counts.dtype, at_most)) if rows is None else None
        if cells is None:
            cells = CellSums.of(self.fails, places, at_most, counts)
            if rows is None:
                self._sums[counts.dtype, at_most] = cells
        above, failing = np.split(cells.matrix @ counts, 2)
        pairs, largest, most_pairs = None, at_most * most, 0
        for _ in range(cells.halvings):
            most_pairs = largest**2 + 2 * most_pairs
            across = np.multiply(above[::2], failing[1::2], dtype=_holding(most_pairs))
            if pairs is not None:
                across += pairs[::2]
                across += pairs[1::2]
            pairs, largest = across, 2 * largest
            above, failing = (np.add(each[::2], each[1::2], dtype=_holding(largest)) for each in (above, failing))
        successes, failures = above.astype(np.int64), failing.astype(np.int64)
        twice = 2 * ((np.cumsum(successes, axis=0) - successes) * failures).sum(axis=0) + self._tied(
            counts, places, at_most
        )
        if pairs is not None:
            twice += 2 * pairs.sum(axis=0, dtype=np.int64)
        failed = failures.sum(axis=0)
        total = successes.sum(axis=0) + failed
        mass = 2 * total * failed - failed**2 - twice
        with np.errstate(divide="ignore", invalid="ignore"):
            values: FloatArray = np.where(total > 0, (mass / 2) / total.astype(np.float64) ** 2, np.nan)
        return values

    def _tied(self, counts: Counts, places: Places, at_most: int) -> NDArray[np.int64] | int:
        """Pairs of equal confidence, which count by half: (replicates,)."""
        if not len(self.starts):
            return 0
        begins = np.stack([self.starts, self.middles], axis=1).ravel()
        lengths = np.stack([self.middles, self.ends], axis=1).ravel() - begins
        first = np.cumsum(lengths) - lengths
        inside = np.arange(lengths.sum()) - np.repeat(first, lengths)
        cell = np.cumsum(inside % at_most == 0) - 1
        sums = _adding(counts, places[np.repeat(begins, lengths) + inside], cell, int(cell[-1]) + 1) @ counts
        parts = np.add.reduceat(sums, cell[first], axis=0, dtype=np.int64)
        tied: NDArray[np.int64] = (parts[::2] * parts[1::2]).sum(axis=0)
        return tied


@dataclass(frozen=True, eq=False)
class CellSums:
    """matrix: times counts, the successes of each cell, and then the failures of each, (2 cells, replicates); there are as
    many cells as can be put together in pairs so often (`halvings`), the last ones empty."""

    matrix: Any
    halvings: int

    @classmethod
    def of(cls, fails: NDArray[np.bool_], places: Places, at_most: int, counts: Counts) -> CellSums:
        """fails and places are those of `RankedFailures`."""
        cell = _cells(fails, at_most)
        cells = int(cell[-1]) + 1
        halvings = (cells // _ROWS_AT_LAST).bit_length()
        height = -(-cells >> halvings) << halvings
        return cls(_adding(counts, places, cell + height * fails, 2 * height), halvings)


def _cells(fails: NDArray[np.bool_], at_most: int) -> Places:
    """The number of each sample's cell, which holds at most so many failures, followed by at most so many successes."""
    runs = np.append(0, np.flatnonzero(fails[1:] != fails[:-1]) + 1)
    inside = np.arange(len(fails)) - np.repeat(runs, np.diff(np.append(runs, len(fails))))
    begins = (inside % at_most == 0) & (fails | (inside > 0))
    begins[0] = True
    return np.cumsum(begins) - 1


def _adding(counts: Counts, places: Places, cell: Places, cells: int) -> Any:
    """The matrix that adds up the rows of counts at the given places by cell: (cells, rows)."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(places), dtype=counts.dtype), (cell, places)), shape=(cells, len(counts))).tocsc()


def _holding(most: int) -> np.dtype[Any]:
    return np.min_scalar_type(min(most, np.iinfo(np.uint64).max))

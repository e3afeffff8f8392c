"""AUGRC of many resamples of one sample at once: the quick way for boards, to the same last digit.

Of residuals 0 or 1, all sums are of whole numbers. With S successes and F failures in a resample of T samples, and P the
pairs of a success that is ranked above a failure (a tie counts half),

    AUGRC = (2 S F + F**2 - 2 P) / (2 T**2).

P is found by halving. Of two parts of the ranking, one above the other, P is that of each, plus the successes of the upper
one times the failures of the lower one: three numbers tell all about a part, and parts of few samples fit into 8 or 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, is_binary
from harness.metrics._weighted import Sample

if TYPE_CHECKING:
    from scipy.sparse import csc_array

Counts = NDArray[np.unsignedinteger[Any]]

_CELL = 17  # samples of a cell: as long as none is drawn more than 15 times, its sums fit into 8 bits
_LAST = 5  # fewer than 2**5 parts are left when halving ends


def quick(residual: NDArray[np.float64]) -> bool:
    """Whether `augrc_of_counts` may be used: residuals 0 or 1."""
    return len(residual) > 0 and is_binary(residual)


def augrc_of_counts(
    confidence: ArrayLike, residual: ArrayLike, counts: Iterable[Counts], keep: NDArray[np.bool_] | None = None
) -> FloatArray:
    """AUGRC on each resample: (replicates,), nan for one without samples.

    `confidence` and `residual` are (m,), the residuals 0 or 1. `counts` say how often each sample is drawn, in pieces of
    (n, some replicates), best of 8 bits; of their n samples, the m are those in `keep` (n,), by default all. Equals
    `weighted_replicates` bit by bit as long as no resample has 2**31 samples. ValueError for other residuals.
    """
    sample = Sample.of(confidence, residual)
    if not quick(sample.residual):
        raise ValueError("residual must be 0 or 1.")
    ranked = RankedFailures.of(sample, keep)
    return np.concatenate([ranked.augrc(piece) for piece in counts])


@dataclass(frozen=True, eq=False)
class RankedFailures:
    """What of a sample with residuals 0 or 1 its AUGRC rests on, for as many resamples as are asked about.

    The ranking is cut into cells: failures and then successes, at most `_CELL` of each.
    cells (2 * cells, n): ones where a sample counts for a cell, first those of successes, then those of failures. One such
    matrix if no success ties with a failure; else two, in which failures stand first, and last, among their ties. halvings:
    how often the cells are halved, upper ones in the first half and the lower ones beside them in the second.
    """

    rankings: Sequence[tuple[csc_array, int]]

    @classmethod
    def of(cls, sample: Sample, keep: NDArray[np.bool_] | None = None) -> RankedFailures:
        """keep (n,): which of n samples these are; by default all."""
        order, starts, fails = sample.ranking.order, sample.ranking.starts, sample.ranked_residual > 0
        whole = np.ones(len(order), dtype=bool) if keep is None else keep
        sizes = np.diff(np.append(starts, len(order)))
        failures = np.add.reduceat(fails, starts, dtype=np.intp)
        if not ((failures > 0) & (failures < sizes)).any():
            return cls([_cells(order, fails, whole)])
        group = 2 * np.repeat(np.arange(len(sizes)), sizes)
        both = (np.argsort(group + late, kind="stable") for late in (~fails, fails))
        return cls([_cells(order[way], fails[way], whole) for way in both])

    def augrc(self, counts: Counts, most: int | None = None) -> FloatArray:
        """(replicates,) for `counts` (n, replicates), of which none is above `most`."""
        highest = int(counts.max(initial=0)) if most is None else most
        sums = [_pairs(cells, halvings, counts, _CELL * highest) for cells, halvings in self.rankings]
        successes, failures, _ = sums[0]
        total = (successes + failures).astype(np.float64)
        twice_pairs = sums[0][2] + sums[-1][2]
        with np.errstate(divide="ignore", invalid="ignore"):
            mass = (2 * successes + failures) * failures - twice_pairs
            values: FloatArray = np.where(total > 0, (mass / 2) / total**2, np.nan)
        return values


def _cells(order: NDArray[np.intp], fails: NDArray[np.bool_], keep: NDArray[np.bool_]) -> tuple[csc_array, int]:
    """See `RankedFailures`. Of samples in `order`, of which some fail."""
    from scipy.sparse import csc_array

    places = np.arange(len(order))
    begins = np.append(True, fails[1:] != fails[:-1])  # of runs of successes or of failures
    inside = places - np.maximum.accumulate(np.where(begins, places, 0))
    # A cell begins with failures or, where a run is longer than a cell, with more of the same.
    opens = (inside % _CELL == 0) & (fails | (inside > 0))
    opens[0] = True
    cell = np.cumsum(opens) - 1
    halvings = max(0, int(cell[-1] + 1).bit_length() - _LAST)
    left = (int(cell[-1]) >> halvings) + 1
    rows = left << halvings
    # Cells 2 i and 2 i + 1 lie in one half each, at the same place, and so do those that they become.
    place = np.arange(rows).reshape([2] * halvings + [left]).T.ravel()
    of_sample = np.empty(len(order), dtype=np.intc)
    of_sample[order] = place[cell] + rows * fails
    ends = np.append(0, np.cumsum(keep)).astype(np.intc)
    ones = np.ones(len(order), dtype=np.uint8)
    return csc_array((ones, of_sample, ends), shape=(2 * rows, len(keep))), halvings


def _pairs(cells: csc_array, halvings: int, counts: Counts, bound: int) -> tuple[NDArray[np.int64], ...]:
    """Successes, failures, and pairs of a success above a failure, each (replicates,). bound: on a sum over a cell."""
    kind = np.min_scalar_type(bound)
    sums = cells.astype(kind, copy=False) @ counts.astype(kind, copy=False)
    successes, failures = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    pairs, most_pairs = np.zeros_like(sums[:1]), 0  # a cell has none
    for halving in range(halvings):
        half, most_pairs = len(successes) // 2, bound**2 + 2 * most_pairs
        across = np.multiply(successes[:half], failures[half:], dtype=np.min_scalar_type(most_pairs))
        if halving:
            across += pairs[:half]
            across += pairs[half:]
        bound *= 2
        kind = np.min_scalar_type(bound)
        successes = np.add(successes[:half], successes[half:], dtype=kind)
        failures = np.add(failures[:half], failures[half:], dtype=kind)
        pairs = across
    successes, failures = successes.astype(np.int64), failures.astype(np.int64)
    above = np.cumsum(successes, axis=0) - successes
    total = (above * failures).sum(axis=0) + pairs.sum(axis=0, dtype=np.int64)
    return successes.sum(axis=0), failures.sum(axis=0), total

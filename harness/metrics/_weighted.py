"""Tie groups of a scored sample, in any number of weighted copies.

Every risk-coverage and failure-detection metric is a function of two `(replicates, groups)` arrays in
order of falling confidence: how many samples, and how much residual, each group of equal confidence
holds. A bootstrap resample only changes the counts, so the sample is sorted once; the value on the
original data is the case of one replicate in which every count is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, IntArray, class_labels, is_binary, scored_pair

Kernel = Callable[..., FloatArray]
"""`kernel(replicates, **options) -> (replicates,)`: one metric on weighted copies of a sample."""


def point_value(
    kernel: Kernel,
    confidence: ArrayLike,
    residual: ArrayLike,
    labels: ArrayLike | None = None,
    **options: Any,
) -> float:
    """The metric on the data as given."""
    sample = Sample.of(confidence, residual, labels)
    return float(evaluate(kernel, Replicates(sample, np.ones((1, len(sample.residual)), np.uint16)), **options)[0])


def evaluate(kernel: Kernel, replicates: Replicates, **options: Any) -> FloatArray:
    """The metric on every replicate; nan where it is undefined, as on a replicate without samples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = kernel(replicates, **options)
    return np.where(replicates.total > 0, values, np.nan)


def row_dot(left: FloatArray, right: FloatArray) -> FloatArray:
    """Inner product of each row: two (replicates, m) -> (replicates,).

    Summed pairwise within the row. Neither einsum nor BLAS will do: their order of summation, hence the
    last digit, changes with the number of rows or threads.
    """
    product: FloatArray = (left * right).sum(axis=1)
    return product


@dataclass(frozen=True, eq=False)
class Ranking:
    """Samples from highest to lowest score; equal scores form one group."""

    order: IntArray
    """(n,) sample indices."""
    starts: IntArray
    """(groups,) position in `order` at which each group begins."""

    @classmethod
    def of(cls, score: NDArray[Any]) -> Ranking:
        order, starts = _ranked(score, np.argsort(score))
        if len(starts) < len(score):
            # Only now does the kind of sort matter: a stable one adds up a group in the same order on
            # every machine, at several times the cost.
            order, starts = _ranked(score, np.argsort(score, kind="stable"))
        return cls(order, starts)

    def fold(self, ranked: FloatArray) -> FloatArray:
        """Sums over each group: (replicates, n) in ranked order -> (replicates, groups)."""
        untied = len(self.starts) == len(self.order)
        return ranked if untied else np.add.reduceat(ranked, self.starts, axis=1)


@dataclass(frozen=True, eq=False)
class ClassCells:
    """Samples of one class within one tie group, class by class, from highest to lowest confidence."""

    order: IntArray
    """(n,) sample indices."""
    starts: IntArray
    """(cells,) position in `order` at which each cell begins."""
    group: IntArray
    """(cells,) tie group of the cell."""
    first: IntArray
    """(cells,) the first cell of the same class."""
    last: IntArray
    """(cells,) the last cell of the same class."""

    @classmethod
    def of(cls, ranking: Ranking, labels: NDArray[Any]) -> ClassCells:
        ranked_label = labels[ranking.order]
        sizes = np.diff(np.append(ranking.starts, len(labels)))
        ranked_group = np.repeat(np.arange(len(sizes)), sizes)
        by_class = np.argsort(ranked_label, kind="stable")
        label, group = ranked_label[by_class], ranked_group[by_class]
        new_class = np.append(True, label[1:] != label[:-1])
        starts = np.flatnonzero(new_class | np.append(True, group[1:] != group[:-1]))
        heads = np.flatnonzero(new_class[starts])
        lengths = np.diff(np.append(heads, len(starts)))
        first, last = np.repeat(heads, lengths), np.repeat(heads + lengths - 1, lengths)
        return cls(ranking.order[by_class], starts, group[starts], first, last)

    def fold(self, mass: FloatArray) -> FloatArray:
        """Sums over each cell: (replicates, n) in `order` -> (replicates, cells)."""
        return np.add.reduceat(mass, self.starts, axis=1)

    def accumulate(self, mass: FloatArray) -> FloatArray:
        """Running sums (replicates, cells) that begin anew with every class."""
        running = np.cumsum(mass, axis=1)
        return running - (running - mass).take(self.first, axis=1)


@dataclass(frozen=True, eq=False)
class Sample:
    """What resampling leaves alone: the residuals (n,), their ranking by confidence, the labels."""

    residual: FloatArray
    ranking: Ranking
    labels: NDArray[Any] | None = None
    group_confidence: FloatArray | None = None
    """(groups,) the confidence that the samples of a group share."""

    @classmethod
    def of(cls, confidence: ArrayLike, residual: ArrayLike, labels: ArrayLike | None = None) -> Sample:
        scores, losses = scored_pair(confidence, residual)
        classes = None if labels is None else class_labels(labels, len(scores))
        ranking = Ranking.of(scores)
        return cls(losses, ranking, classes, scores[ranking.order[ranking.starts]].astype(np.float64))

    @cached_property
    def binary(self) -> bool:
        return is_binary(self.residual)

    @cached_property
    def ranked_residual(self) -> FloatArray:
        return self.residual[self.ranking.order]

    @cached_property
    def failures(self) -> tuple[IntArray, IntArray, IntArray]:
        """Of samples with a residual, (f,) each: where they stand in the ranking, and where their groups begin and end."""
        ranking = self.ranking
        place = np.flatnonzero(self.ranked_residual)
        group = np.searchsorted(ranking.starts, place, side="right") - 1
        return place, ranking.starts[group], np.append(ranking.starts[1:], len(ranking.order))[group]

    @cached_property
    def ideal(self) -> Sample:
        """The same residuals under the best possible ranking: the smallest residual first."""
        return Sample(self.residual, Ranking.of(-self.residual), self.labels)

    @cached_property
    def cells(self) -> ClassCells:
        if self.labels is None:
            raise ValueError("labels are missing: a class-balanced metric needs the label of each sample.")
        return ClassCells.of(self.ranking, self.labels)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Weighted copies of a sample, folded into its tie groups, most confident group first.

    A group whose samples were not drawn has weight zero: it repeats the operating point before it.
    """

    sample: Sample
    counts: NDArray[Any]
    """(replicates, n) whole numbers: how often each sample occurs. In a narrow type they are picked several times faster."""

    @cached_property
    def _ranked_counts(self) -> FloatArray:
        ranked = self.counts.take(self.sample.ranking.order, axis=1)
        return np.asarray(ranked, dtype=np.float64)

    @cached_property
    def weight(self) -> FloatArray:
        """(replicates, groups) samples of each group."""
        return self.sample.ranking.fold(self._ranked_counts)

    @cached_property
    def error(self) -> FloatArray:
        """(replicates, groups) residual mass of each group."""
        return self.sample.ranking.fold(self._ranked_counts * self.sample.ranked_residual)

    @cached_property
    def kept(self) -> FloatArray:
        """(replicates, groups) samples at or above each threshold."""
        return np.cumsum(self.weight, axis=1)

    @cached_property
    def kept_error(self) -> FloatArray:
        """(replicates, groups) residual mass at or above each threshold."""
        return np.cumsum(self.error, axis=1)

    @cached_property
    def total(self) -> FloatArray:
        """(replicates,) samples."""
        return np.asarray(self.counts.sum(axis=1, dtype=np.float64))

    @property
    def total_error(self) -> FloatArray:
        """(replicates,) residual mass."""
        return self.kept_error[:, -1]

    @property
    def midpoint(self) -> FloatArray:
        """(replicates, groups) samples above the middle of each group."""
        return self.kept - 0.5 * self.weight

    @property
    def selective_risk(self) -> FloatArray:
        """(replicates, groups) mean residual at or above each threshold; 0 where nothing is kept.

        Counts are whole, so the floor of 1 touches nothing but the empty thresholds.
        """
        return self.kept_error / np.maximum(self.kept, 1.0)

    @property
    def binary(self) -> NDArray[np.bool_]:
        """(replicates,) whether all drawn residuals are 0 or 1."""
        if self.sample.binary:
            return np.ones(len(self.counts), dtype=bool)
        fractional = (self.sample.residual != 0) & (self.sample.residual != 1)
        return np.logical_not((self.counts[:, fractional] > 0).any(axis=1))

    @cached_property
    def ideal(self) -> Replicates:
        return Replicates(self.sample.ideal, self.counts)


def _ranked(score: NDArray[Any], ascending: IntArray) -> tuple[IntArray, IntArray]:
    """Order of falling score and the first position of every group of equal scores in it."""
    order = np.ascontiguousarray(ascending[::-1])
    ranked = score[order]
    return order, np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))

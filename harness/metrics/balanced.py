"""Risk-coverage areas in which every class counts the same.

`confidence` (n,) higher = more confident, `residual` (n,) >= 0, `labels` (n,) integers: the true class.
Only classes that occur count. Equal confidences form one operating point. Empty, non-finite, negative,
mismatched or not one-dimensional input and labels that are not integers raise ValueError.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.metrics._checks import FloatArray
from harness.metrics._weighted import Replicates, point_value, row_dot


def balanced_augrc(confidence: ArrayLike, residual: ArrayLike, labels: ArrayLike) -> float:
    r"""AUGRC with each residual weighted by n / (classes * samples of its class).

    $$ \frac{1}{K n} \sum_i \frac{r_i}{n_{y_i}} \left( \rho_i - \frac{1}{2} \right) $$

    $K$ classes; $n_k$ samples of class $k$; $y_i$: the true class; $\rho_i$: rank of $c_i$, 1 for the lowest, ties
    sharing their mean.

    Of confidence (n,), residual (n,) >= 0 and integer labels (n,). Lower is better; in [0, 1) for
    residuals in [0, 1]; equals AUGRC when all classes have the same size. A tie scores the mean over all
    orders of its samples. ValueError as for `augrc`, and for labels that are not integers. Traub et al.
    2024 (reference code).
    """
    return point_value(balanced_augrc_kernel, confidence, residual, labels)


def balanced_augrc_kernel(replicates: Replicates) -> FloatArray:
    cells = replicates.sample.cells
    weight, error = _cell_masses(replicates)
    size = cells.accumulate(weight).take(cells.last, axis=1)
    below = replicates.total[:, None] - replicates.midpoint.take(cells.group, axis=1)
    area = row_dot(error / np.maximum(size, 1.0), below)
    return area / (replicates.total * _classes_present(replicates, weight))


def balanced_aurc(confidence: ArrayLike, residual: ArrayLike, labels: ArrayLike) -> float:
    r"""AURC of the class-balanced selective risk: the mean over classes of their own selective risks.

    $$ \int_0^1 \frac{1}{K} \sum_{k=1}^{K} S_k \, d\varphi $$

    $S_k$: the selective risk among samples of class $k$; $\varphi$: coverage of all samples.

    Of confidence (n,), residual (n,) >= 0 and integer labels (n,). Lower is better; in [0, max residual].
    A class of which no sample is kept any more contributes a risk of 0, as in FD-Shifts, so a classifier
    that is always wrong may score below 1. A tie is one operating point. ValueError as for `aurc`, and
    for labels that are not integers. Jaeger et al. 2023; Traub et al. 2024 (reference code).
    """
    return point_value(balanced_aurc_kernel, confidence, residual, labels)


def balanced_aurc_kernel(replicates: Replicates) -> FloatArray:
    cells = replicates.sample.cells
    weight, error = _cell_masses(replicates)
    risk = cells.accumulate(error) / np.maximum(cells.accumulate(weight), 1.0)
    # In a sum of trapezoids a risk counts from the middle of its own group to the middle of the next;
    # that of the most confident group down to coverage 0. A class keeps its risk until its next cell.
    is_top = replicates.kept == replicates.weight
    middle = np.where(is_top, 0.0, replicates.midpoint)
    middle = np.concatenate([middle, replicates.total[:, None]], axis=1)
    end = np.append(cells.group[1:], 0)
    end[cells.last] = middle.shape[1] - 1
    span = middle.take(end, axis=1) - middle.take(cells.group, axis=1)
    area = row_dot(risk, span)
    return area / (replicates.total * _classes_present(replicates, weight))


def _cell_masses(replicates: Replicates) -> tuple[FloatArray, FloatArray]:
    """Samples and residual mass (replicates, cells) of each class within each tie group."""
    cells = replicates.sample.cells
    counts = replicates.counts.take(cells.order, axis=1)
    return cells.fold(counts), cells.fold(counts * replicates.sample.residual[cells.order])


def _classes_present(replicates: Replicates, weight: FloatArray) -> FloatArray:
    heads = np.unique(replicates.sample.cells.first)
    present = np.add.reduceat(weight, heads, axis=1) > 0
    return np.asarray(np.count_nonzero(present, axis=1), dtype=np.float64)

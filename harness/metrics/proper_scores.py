"""Proper scoring rules of confidences and of class probabilities.

Empty, non-finite, mismatched or wrongly shaped input raises ValueError. Order and ties of the samples do
not matter: every function is a mean over samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import (
    FloatArray,
    class_labels,
    numeric,
    readable,
    require_binary,
    require_within,
    scored_pair,
)

NLL_EPSILON = 1e-7
"""Smallest probability that `nll` takes the logarithm of; its largest value is thus 16.12."""

FAILURE_NLL_EPSILON = 1e-7
"""Added to both probabilities by `failure_nll`, as in FD-Shifts."""

_ROUNDING = 2.0**-24
"""How far a probability may lie outside [0, 1], as sums of probabilities do by rounding; it counts as the end it passed."""

_SUM_TOLERANCE = 1e-3  # half-precision soft-max outputs of many classes miss 1 by a few 1e-4


def are_probabilities(confidence: ArrayLike) -> bool:
    """Whether all confidences (n,) lie in [0, 1], up to rounding."""
    stated = np.asarray(confidence)
    return bool(((stated >= -_ROUNDING) & (stated <= 1.0 + _ROUNDING)).all())


def brier(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Brier score; lower is better.

    $$
    \frac{1}{n} \sum_i \left( c_i - (1 - r_i) \right)^2
    \quad \mathrm{or} \quad \frac{1}{n} \sum_i \sum_k \left( p_{ik} - [y_i = k] \right)^2
    $$

    $c_i$: confidence, $r_i$: residual; $p_{ik}$: probability of class $k$, $y_i$: the true class.

    Of the event "correct": confidence (n,) in [0, 1] and binary residual (n,) (1 failure) give the mean
    squared difference, in [0, 1]. Of all classes: probabilities (n, classes) and integer class labels
    (n,) from 0 give the squared distance to the one-hot label, summed over classes, in [0, 2].
    ValueError outside these domains or if probabilities do not sum to 1. Brier 1950, "Verification of
    Forecasts Expressed in Terms of Probability"; Jaeger et al. 2023.
    """
    if readable("confidence", confidence).ndim == 2:
        probability, labels = _class_probabilities(confidence, residual)
        probability[np.arange(len(labels)), labels] -= 1.0
        return float(np.mean((probability**2).sum(axis=1)))
    stated, correct = _stated_and_correct(confidence, residual)
    return float(np.mean((stated - correct) ** 2))


def nll(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Mean negative log-likelihood in nats; lower is better, in [0, 16.12].

    $$ - \frac{1}{n} \sum_i \ln \max (q_i, 10^{-7}) $$

    $q_i$: the probability that was given to what happened.

    Input as in `brier`: of the event "correct", or of the true class. Probabilities below `NLL_EPSILON`
    count as that. Not divided by the number of classes, unlike the FD-Shifts code. ValueError as in
    `brier`. Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML.
    """
    if readable("confidence", confidence).ndim == 2:
        probability, labels = _class_probabilities(confidence, residual)
        likelihood = probability[np.arange(len(labels)), labels]
    else:
        stated, correct = _stated_and_correct(confidence, residual)
        likelihood = np.where(correct == 1, stated, 1.0 - stated)
    # a difference, as the negative of a zero mean would be -0.0
    return float(0.0 - np.mean(np.log(np.clip(likelihood, NLL_EPSILON, 1.0))))


def failure_nll(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Negative log-likelihood of the event "correct", in the form of FD-Shifts; lower is better.

    $$ - \frac{1}{n} \sum_i \left( (1 - r_i) \ln (c_i + 10^{-7}) + r_i \ln (1 - c_i + 10^{-7}) \right) $$

    $c_i$: confidence, $r_i$: residual.

    `-mean[(1 - r) ln(c + 1e-7) + r ln(1 - c + 1e-7)]`, in [-1e-7, 16.12]. confidence (n,) c; residual
    (n,) r in [0, 1], a soft target between success and failure if fractional. nan if any confidence lies
    outside [0, 1], which no probability does: the score is then undefined, not wrong. ValueError for a
    residual above 1. Jaeger et al. 2023.
    """
    scores, losses = scored_pair(confidence, residual)
    require_within("residual", losses, 0.0, 1.0)
    if not are_probabilities(scores):
        return float("nan")
    stated = np.clip(scores.astype(np.float64), 0.0, 1.0)
    success = np.log(stated + FAILURE_NLL_EPSILON)
    failure = np.log(1.0 - stated + FAILURE_NLL_EPSILON)
    return float(-np.mean((1.0 - losses) * success + losses * failure))


def _stated_and_correct(confidence: ArrayLike, residual: ArrayLike) -> tuple[FloatArray, FloatArray]:
    scores, losses = scored_pair(confidence, residual)
    require_binary(losses)
    if not are_probabilities(scores):
        require_within("confidence", scores, 0.0, 1.0)
    return np.clip(scores.astype(np.float64), 0.0, 1.0), 1.0 - losses


def _class_probabilities(probability: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[Any]]:
    """Probabilities (n, classes), a copy, and the index of the true class (n,)."""
    stated = numeric("probabilities", probability).astype(np.float64)
    classes = class_labels(labels, len(stated)).astype(np.intp)
    require_within("probabilities", stated, 0.0, 1.0)
    require_within("labels", classes, 0, stated.shape[1] - 1)
    sums = stated.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1.0) > _SUM_TOLERANCE)
    if len(off):
        raise ValueError(f"probabilities must sum to 1: those of sample {off[0]} sum to {sums[off[0]]:g}.")
    return stated, classes

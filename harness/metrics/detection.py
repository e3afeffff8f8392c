"""Failure detection: how well a confidence score separates successes from failures.

`confidence` (n,) real, higher = more confident; `residual` (n,) binary: 1 failure, 0 success. Equal
confidences share one threshold. Residuals other than 0 and 1, and empty, non-finite, mismatched or not
one-dimensional input raise ValueError.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.metrics._checks import FloatArray, require_binary, require_option
from harness.metrics._weighted import Replicates, point_value, row_dot

TPR_TOLERANCE = 5e-4
"""A true positive rate is compared at three decimals, as FD-Shifts does: 0.9495 counts as 0.95."""


def failure_auroc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Area under the ROC curve with success as the positive class (AUROC_f).

    $$
    \frac{1}{n_0 n_1} \sum_{i : r_i = 0} \,
    \sum_{j : r_j = 1} \left( [c_i > c_j] + \frac{1}{2} [c_i = c_j] \right)
    $$

    $n_0$ successes, $n_1$ failures; $[\cdot]$ is 1 where it holds, else 0.

    Of confidence (n,) and binary residual (n,). Higher is better; in [0, 1], 1/2 for an uninformative
    score. The probability that a success is more confident than a failure; a tie counts half. nan if
    there are no successes or no failures; ValueError for bad or not binary input. Hendrycks & Gimpel
    2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks",
    ICLR; Jaeger et al. 2023.
    """
    return point_value(failure_auroc_kernel, confidence, residual)


def failure_auroc_kernel(replicates: Replicates) -> FloatArray:
    require_binary(replicates.sample.residual)
    failures = replicates.total_error
    successes = replicates.total - failures
    failures_below = failures[:, None] - replicates.kept_error + 0.5 * replicates.error
    won = row_dot(replicates.weight - replicates.error, failures_below)
    return won / (successes * failures)


def fpr_at_tpr(confidence: ArrayLike, residual: ArrayLike, tpr: float = 0.95) -> float:
    r"""Lowest false positive rate at which at least `tpr` of the successes are accepted (FPR@95TPR).

    $$
    \min \left\{ \frac{1}{n_1}
    \sum_{j : r_j = 1} [c_j \ge t] \; : \; \frac{1}{n_0} \sum_{i : r_i = 0} [c_i \ge t] \ge \mathrm{tpr} \right\}
    $$

    The least over all thresholds $t$; $n_0$ successes, $n_1$ failures.

    Of confidence (n,) and binary residual (n,). Lower is better; in [0, 1]. Success is the positive
    class, so this is the share of failures that go undetected. Ties share one threshold. Rates are
    compared at three decimals: true positive rates from `tpr - 0.0005` on satisfy the target. All
    thresholds are searched; a search over the corners of the ROC curve only, as in FD-Shifts, may miss
    the lowest rate. nan if there are no successes or no failures; ValueError unless 0.001 <= tpr <= 1,
    and for bad or not binary input. Liang et al. 2018, "Enhancing the Reliability of Out-of-Distribution
    Image Detection in Neural Networks" (ODIN), ICLR; Jaeger et al. 2023.
    """
    return point_value(fpr_at_tpr_kernel, confidence, residual, tpr=tpr)


def fpr_at_tpr_kernel(replicates: Replicates, tpr: float = 0.95) -> FloatArray:
    require_binary(replicates.sample.residual)
    require_option("tpr", tpr, 0.001, 1.0)
    failures = replicates.total_error
    successes = replicates.total - failures
    rate = (replicates.kept - replicates.kept_error) / successes[:, None]
    # Both rates rise as the threshold falls: the first point that serves the target is the best one.
    target = round(tpr - TPR_TOLERANCE, 9)  # without the rounding error of the difference
    first = (rate >= target).argmax(axis=1)[:, None]
    accepted = np.take_along_axis(replicates.kept_error, first, axis=1)[:, 0]
    return np.where(successes > 0, accepted / failures, np.nan)


def failure_ap(
    confidence: ArrayLike, residual: ArrayLike, positive: Literal["failure", "success"] = "failure"
) -> float:
    r"""Average precision of detecting failures by low confidence, or successes by high confidence.

    $$ \sum_k (\mathrm{recall}_k - \mathrm{recall}_{k-1}) \, \mathrm{precision}_k $$

    $k$: thresholds, in the order in which they flag more and more samples; recall and precision of the positive class;
    $\mathrm{recall}_0 = 0$.

    Of confidence (n,) and binary residual (n,). Higher is better; in [0, 1]. The step-wise sum of
    precision over gains in recall, without interpolation; ties share one threshold. 0.0 if the positive
    class does not occur (the convention of the reference code). ValueError for another `positive`, and
    for bad or not binary input. Hendrycks & Gimpel 2017 (AUPR-Error, AUPR-Success); Jaeger et al. 2023.
    """
    return point_value(failure_ap_kernel, confidence, residual, positive=positive)


def failure_ap_kernel(replicates: Replicates, positive: str = "failure") -> FloatArray:
    require_binary(replicates.sample.residual)
    if positive == "success":
        hits = replicates.weight - replicates.error
        found, flagged = replicates.kept - replicates.kept_error, replicates.kept
        positives = replicates.total - replicates.total_error
    elif positive == "failure":
        hits = replicates.error
        found = replicates.total_error[:, None] - replicates.kept_error + replicates.error
        flagged = replicates.total[:, None] - replicates.kept + replicates.weight
        positives = replicates.total_error
    else:
        raise ValueError(f"positive must be 'failure' or 'success', got {positive!r}.")
    precision = found / np.maximum(flagged, 1.0)
    return row_dot(hits, precision) / np.maximum(positives, 1.0)

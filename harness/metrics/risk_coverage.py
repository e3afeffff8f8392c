"""Risk-coverage curve, the areas under it and its working points.

Shared by all functions of this file: `confidence` (n,) real, higher = more confident, of any scale;
`residual` (n,) real >= 0, the loss of each prediction (1 failure, 0 success if binary). Samples of equal
confidence (exact equality, -0.0 equals 0.0) are accepted or rejected together, so they form one operating
point. Empty, non-finite, negative, mismatched or not one-dimensional input raises ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, require_option, scored_pair
from harness.metrics._weighted import Ranking, Replicates, Sample, point_value, row_dot


@dataclass(frozen=True, eq=False)
class RiskCoverageCurve:
    """Operating points of a confidence score, from full coverage down to none."""

    coverage: FloatArray
    """(points,) share of samples accepted; from 1 down to the closing point 0."""
    generalized_risk: FloatArray
    """(points,) accepted residual per sample of the whole set; closes with 0."""
    selective_risk: FloatArray
    """(points,) mean residual of the accepted samples; closes with the risk of the most confident group."""
    thresholds: NDArray[np.generic]
    """(points - 1,) rising; point i accepts `confidence >= thresholds[i]`. The closing point has none."""


def risk_coverage_curve(confidence: ArrayLike, residual: ArrayLike) -> RiskCoverageCurve:
    r"""Selective and generalized risk at every distinct threshold.

    $$
    \varphi(t) = \frac{1}{n} \sum_i [c_i \ge t],
    \quad G(t) = \frac{1}{n} \sum_i r_i [c_i \ge t], \quad S(t) = \frac{G(t)}{\varphi(t)}
    $$

    Coverage $\varphi$, generalized risk $G$ and selective risk $S$ at threshold $t$; $[\cdot]$ is 1 where it holds,
    else 0.

    Of confidence (n,) and residual (n,) >= 0. Samples that tie form one point; the fields of the result
    say how the points are ordered and closed. Risks lie in [0, max residual]. ValueError for empty,
    non-finite, negative or mismatched input. El-Yaniv & Wiener 2010, "On the Foundations of Noise-free
    Selective Classification", JMLR (selective risk); Traub et al. 2024 (generalized risk: an undetected
    failure counts against all samples, not only the accepted ones).
    """
    scores, losses = scored_pair(confidence, residual)
    sample = Sample(losses, Ranking.of(scores))
    points = Replicates(sample, np.ones((1, len(losses))))
    selective = points.selective_risk[0, ::-1]
    return RiskCoverageCurve(
        coverage=np.append(points.kept[0, ::-1] / len(losses), 0.0),
        generalized_risk=np.append(points.kept_error[0, ::-1] / len(losses), 0.0),
        selective_risk=np.append(selective, selective[-1]),
        thresholds=scores[sample.ranking.order[sample.ranking.starts[::-1]]],
    )


def augrc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Area under the generalized risk-coverage curve: the mean risk of an undetected failure.

    $$ \mathrm{AUGRC} = \int_0^1 G \, d\varphi = \frac{1}{n^2} \sum_i r_i \left( \rho_i - \frac{1}{2} \right) $$

    $\rho_i$: rank of $c_i$, 1 for the lowest; ties share their mean rank. $G$, $\varphi$: see `risk_coverage_curve`.

    Of confidence (n,) and residual (n,) >= 0. Lower is better; in [0, max residual / 2], so at most 1/2
    for residuals in [0, 1]. The generalized risk is linear across a tie: a tie scores the mean over all
    orders of its samples. Closed form: the mean of `residual * (mid-rank - 1/2) / n`, which for binary
    residuals is `(1 - failure AUROC) * acc * (1 - acc) + (1 - acc)**2 / 2`. ValueError for empty,
    non-finite, negative or mismatched input. Traub et al. 2024, "Overcoming Common Flaws in the
    Evaluation of Selective Classification Systems", NeurIPS.
    """
    return point_value(augrc_kernel, confidence, residual)


def augrc_kernel(replicates: Replicates) -> FloatArray:
    total = replicates.total
    below = total[:, None] - replicates.midpoint
    return row_dot(replicates.error, below) / total**2


def partial_augrc(confidence: ArrayLike, residual: ArrayLike, low: float = 0.0, high: float = 1.0) -> float:
    r"""Area under the generalized risk for coverages in [low, high], not divided by the width.

    $$ \int_{\mathrm{low}}^{\mathrm{high}} G \, d\varphi $$

    $G$, $\varphi$: see `risk_coverage_curve`.

    Of confidence (n,) and residual (n,) >= 0. Lower is better; for residuals in [0, 1] in
    [0, (high**2 - low**2) / 2]. Exact, as the curve is piecewise linear, also across ties. Adjacent
    intervals add up; [0, 1] gives AUGRC. ValueError unless 0 <= low < high <= 1, and for empty,
    non-finite, negative or mismatched input. After Traub et al. 2024.
    """
    return point_value(partial_augrc_kernel, confidence, residual, low=low, high=high)


def partial_augrc_kernel(replicates: Replicates, low: float = 0.0, high: float = 1.0) -> FloatArray:
    require_option("low", low, 0.0, 1.0)
    require_option("high", high, 0.0, 1.0)
    if not low < high:
        raise ValueError(f"low must be smaller than high, got [{low!r}, {high!r}].")
    total = replicates.total[:, None]
    start = (replicates.kept - replicates.weight) / total
    left, right = np.clip(start, low, high), np.clip(replicates.kept / total, low, high)
    slope = replicates.error / np.maximum(replicates.weight, 1.0)
    start_risk = (replicates.kept_error - replicates.error) / total
    middle_risk = start_risk + slope * (0.5 * (left + right) - start)
    return row_dot(right - left, middle_risk)


def aurc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""Area under the selective risk-coverage curve.

    $$ \mathrm{AURC} = \sum_{g=1}^{m} (\varphi_g - \varphi_{g-1}) \, \frac{S_g + S_{g-1}}{2}, \quad S_0 = S_1 $$

    $g$: the groups of equal confidence, the most confident first; $\varphi_0 = 0$; $S_g$, $\varphi_g$ with all groups
    up to $g$ kept.

    Of confidence (n,) and residual (n,) >= 0. Lower is better; in [0, max residual]. Trapezoids between
    the operating points; the risk of the most confident group is held down to coverage 0. A tie is one
    operating point (selective risk is not linear across it, so this is not the mean over orders).
    ValueError for empty, non-finite, negative or mismatched input. Geifman & El-Yaniv 2017, "Selective
    Classification for Deep Neural Networks", NeurIPS; Jaeger et al. 2023, "A Call to Reflect on
    Evaluation Practices for Failure Detection in Image Classification" (FD-Shifts), ICLR.
    """
    return point_value(aurc_kernel, confidence, residual)


def aurc_kernel(replicates: Replicates) -> FloatArray:
    weight, risk = replicates.weight, replicates.selective_risk
    doubled = row_dot(weight, risk) + row_dot(weight[:, 1:], risk[:, :-1])
    # The trapezoid that ends at coverage 0 starts with a risk of 0 above. Held at its own risk, the top
    # group adds (its weight) * (its risk), which is its residual mass.
    top = (weight > 0).argmax(axis=1)[:, None]
    doubled += np.take_along_axis(replicates.error, top, axis=1)[:, 0]
    return doubled / (2 * replicates.total)


def risk_at_coverage(confidence: ArrayLike, residual: ArrayLike, coverage: float) -> float:
    r"""Lowest selective risk among the operating points that keep at least `coverage` of the samples.

    $$ \min \{ S(t) : \varphi(t) \ge \mathrm{coverage} \} $$

    $S$, $\varphi$: see `risk_coverage_curve`.

    Of confidence (n,) and residual (n,) >= 0. The FD-Shifts meaning of "risk@80cov": the best the score
    offers while it serves the target, not the risk at the target itself. Lower is better; in [0, mean
    residual]. A tie is one operating point. ValueError unless 0 <= coverage <= 1, and for empty,
    non-finite, negative or mismatched input. Jaeger et al. 2023.
    """
    return point_value(risk_at_coverage_kernel, confidence, residual, coverage=coverage)


def risk_at_coverage_kernel(replicates: Replicates, coverage: float) -> FloatArray:
    require_option("coverage", coverage, 0.0, 1.0)
    served = (replicates.kept / replicates.total[:, None] >= coverage) & (replicates.kept > 0)
    lowest: FloatArray = np.where(served, replicates.selective_risk, np.inf).min(axis=1)
    return lowest


def coverage_at_risk(confidence: ArrayLike, residual: ArrayLike, risk: float) -> float:
    r"""Highest coverage whose selective risk is at most `risk`; 0.0 if there is none.

    $$ \max \{ \varphi(t) : S(t) \le \mathrm{risk} \} $$

    $S$, $\varphi$: see `risk_coverage_curve`.

    Of confidence (n,) and residual (n,) >= 0. Higher is better; in [0, 1]. A tie is one operating point.
    ValueError unless risk >= 0, and for empty, non-finite, negative or mismatched input. Geifman &
    El-Yaniv 2017 (selection with a given risk).
    """
    return point_value(coverage_at_risk_kernel, confidence, residual, risk=risk)


def coverage_at_risk_kernel(replicates: Replicates, risk: float) -> FloatArray:
    require_option("risk", risk, 0.0, np.inf)
    most: FloatArray = np.where(replicates.selective_risk <= risk, replicates.kept, 0.0).max(axis=1)
    return most / replicates.total

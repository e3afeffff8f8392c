"""Areas relative to an attainable optimum: excess over the ideal ranking, and the achievable AURC.

`confidence` (n,) higher = more confident, `residual` (n,) >= 0; equal confidences form one operating point.
Empty, non-finite, negative, mismatched or not one-dimensional input raises ValueError.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.metrics._checks import FloatArray, IntArray
from harness.metrics._weighted import Replicates, point_value
from harness.metrics.risk_coverage import augrc_kernel, aurc_kernel


def excess_augrc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""AUGRC above that of the ideal ranking of the same residuals (e-AUGRC).

    $$ \mathrm{AUGRC}(c, r) - \mathrm{AUGRC}(-r, r) $$

    $\mathrm{AUGRC}(-r, r)$: of the ideal ranking. See `augrc`.

    Of confidence (n,) and residual (n,) >= 0. Lower is better; 0 for an ideal ranking, at most 1/4 for
    residuals in [0, 1]. The ideal ranking has the largest residual at the lowest confidence; for binary
    residuals its AUGRC is (1 - acc)**2 / 2. A tie scores the mean over all orders of its samples.
    ValueError as for `augrc`. Traub et al. 2024.
    """
    return point_value(excess_augrc_kernel, confidence, residual)


def excess_augrc_kernel(replicates: Replicates) -> FloatArray:
    return augrc_kernel(replicates) - augrc_kernel(replicates.ideal)


def excess_aurc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""AURC above its optimum (e-AURC).

    $$ \mathrm{AURC} - \left( e + (1 - e) \ln (1 - e) \right) $$

    $e$: the error rate. See `aurc`.

    Of confidence (n,) and residual (n,) >= 0; ties and ValueError as for `aurc`. Lower is better; for
    binary residuals in (-1/2, 1). Their optimum is the analytic `e + (1 - e) ln(1 - e)` of an infinite
    sample with error rate e, while the AURC is a sum of trapezoids: an ideal ranking of few samples or
    few thresholds comes out negative (-0.028 for one error in two samples). For real-valued residuals
    the optimum is the AURC of the ideal ranking without ties. Geifman et al. 2019, "Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers", ICLR; Jaeger et al. 2023.
    """
    return point_value(excess_aurc_kernel, confidence, residual)


def excess_aurc_kernel(replicates: Replicates) -> FloatArray:
    return aurc_kernel(replicates) - _optimal_aurc(replicates)


def achievable_aurc(confidence: ArrayLike, residual: ArrayLike) -> float:
    r"""AURC of the risk-coverage curve that a user of the score can achieve.

    $$ \int_0^1 \frac{\check{G}(\varphi)}{\varphi} \, d\varphi $$

    $\check{G}$: the lower convex hull of the generalized risk over coverage $\varphi$, from (0, 0) on.

    Of confidence (n,) and residual (n,) >= 0; a tie is one operating point; ValueError as for `aurc`.
    Lower is better; in [0, max residual]. For binary residuals only the dominant operating points count,
    the vertices of the ROC convex hull, since mixing two thresholds at random attains every point of the
    chord between them. Between points the number of failures is linear in coverage, so the selective
    risk is integrated as the hyperbola it is. Real-valued residuals keep all operating points. Traub et
    al. 2024 (reference code); hull after Provost & Fawcett 2001, "Robust Classification for Imprecise
    Environments".
    """
    return point_value(achievable_aurc_kernel, confidence, residual)


def achievable_aurc_kernel(replicates: Replicates) -> FloatArray:
    rows = zip(replicates.weight, replicates.kept, replicates.kept_error, replicates.binary, strict=True)
    return np.array([_achievable(kept[w > 0], error[w > 0], binary) for w, kept, error, binary in rows])


def _achievable(kept: FloatArray, error: FloatArray, binary: bool) -> float:
    """Area under `error / kept` with the error mass linear between the points, divided by max(kept)."""
    if len(kept) == 0:
        return np.nan
    if binary:
        vertices = _lower_hull(np.append(0.0, kept), np.append(0.0, error))[1:] - 1
        kept, error = kept[vertices], error[vertices]
    k0, k1, e0, e1 = kept[:-1], kept[1:], error[:-1], error[1:]
    segments = (e1 - e0) + (e0 * k1 - e1 * k0) * np.log(k1 / k0) / (k1 - k0)
    # From the first point down to coverage 0 the risk stays error[0] / kept[0].
    return float((error[0] + segments.sum()) / kept[-1])


def _lower_hull(x: FloatArray, y: FloatArray) -> IntArray:
    """Indices of the vertices of the lower convex hull of points with strictly rising x."""
    index = np.arange(len(x))
    # A point on or above the chord of its neighbours is no vertex. Dropping all of them at once is
    # quick while many go; what is left is finished by a monotone chain.
    while len(index) > 2:
        px, py = x[index], y[index]
        convex = np.diff(py)[:-1] * np.diff(px)[1:] < np.diff(py)[1:] * np.diff(px)[:-1]
        index, before = index[np.concatenate(([True], convex, [True]))], len(index)
        if len(index) > 0.9 * before:
            break
    hull: list[int] = []
    px, py = x.tolist(), y.tolist()
    for i in index.tolist():
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (py[b] - py[a]) * (px[i] - px[b]) < (py[i] - py[b]) * (px[b] - px[a]):
                break
            hull.pop()
        hull.append(i)
    return np.array(hull, dtype=np.intp)


def _optimal_aurc(replicates: Replicates) -> FloatArray:
    rate = replicates.total_error / replicates.total
    success = np.clip(1.0 - rate, 0.0, 1.0)
    analytic = rate + success * np.log(np.where(success > 0, success, 1.0))
    if replicates.sample.binary:
        return analytic
    return np.where(replicates.binary, analytic, _ideal_aurc(replicates.ideal))


def _ideal_aurc(ideal: Replicates) -> FloatArray:
    """AURC of samples in order of rising residual, each its own operating point.

    While samples of one residual r come in, the risk after k samples is r + (e0 - r k0) / k, with e0 and
    k0 the mass and the number before them: its sum over k needs harmonic numbers only.
    """
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, int(ideal.total.max()) + 1)))
    before = ideal.kept - ideal.weight
    value = ideal.sample.ranked_residual[ideal.sample.ranking.starts]
    span = harmonic[ideal.kept.astype(np.intp)] - harmonic[before.astype(np.intp)]
    risks = value * ideal.weight + (ideal.kept_error - ideal.error - value * before) * span
    lowest = value[(ideal.weight > 0).argmax(axis=1)]
    mean = ideal.total_error / ideal.total
    area: FloatArray = risks.sum(axis=1) + 0.5 * lowest - 0.5 * mean
    return area / ideal.total

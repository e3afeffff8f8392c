"""Definitions of the metrics as plain loops over samples, thresholds and pairs: slow, and hard to get wrong.

Written from the papers' definitions; shares no code with the package.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
from hypothesis import strategies as st


def points(confidence, residual):
    """(threshold, coverage, generalized risk, selective risk) from full coverage down."""
    n = len(confidence)
    out = []
    for threshold in sorted(set(confidence)):
        kept = [r for c, r in zip(confidence, residual, strict=True) if c >= threshold]
        out.append((threshold, len(kept) / n, math.fsum(kept) / n, math.fsum(kept) / len(kept)))
    return out


def trapezoid(curve):
    """Area under [(x, y), ...] with x falling."""
    return math.fsum((a[0] - b[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))


def augrc(confidence, residual):
    return trapezoid([(p[1], p[2]) for p in points(confidence, residual)] + [(0.0, 0.0)])


def aurc(confidence, residual):
    curve = [(p[1], p[3]) for p in points(confidence, residual)]
    return trapezoid([*curve, (0.0, curve[-1][1])])


def partial_augrc(confidence, residual, low=0.0, high=1.0):
    curve = [(p[1], p[2]) for p in points(confidence, residual)] + [(0.0, 0.0)]
    xs, ys = [x for x, _ in curve[::-1]], [y for _, y in curve[::-1]]
    inner = sorted({low, high, *(x for x in xs if low < x < high)}, reverse=True)
    return trapezoid([(x, float(np.interp(x, xs, ys))) for x in inner])


def risk_at_coverage(confidence, residual, coverage):
    return min(p[3] for p in points(confidence, residual) if p[1] >= coverage)


def coverage_at_risk(confidence, residual, risk):
    return max([p[1] for p in points(confidence, residual) if p[3] <= risk], default=0.0)


def excess_augrc(confidence, residual):
    ideal = sorted(residual, reverse=True)
    return augrc(confidence, residual) - augrc(list(range(len(ideal))), ideal)


def excess_aurc(confidence, residual):
    if set(residual) <= {0, 1}:
        e = sum(residual) / len(residual)
        return aurc(confidence, residual) - (e + ((1 - e) * math.log(1 - e) if e < 1 else 0.0))
    ideal = sorted(residual, reverse=True)
    return aurc(confidence, residual) - aurc(list(range(len(ideal))), ideal)


def achievable_aurc(confidence, residual):
    """Gauss-Legendre quadrature of (error mass / coverage), with the error mass on its lower envelope if binary."""
    nodes = [(0.0, 0.0), *sorted((p[1], p[2]) for p in points(confidence, residual))]
    binary = set(residual) <= {0, 1}

    def mass(x):
        chords = combinations(nodes, 2) if binary else pairwise(nodes)
        return min(a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0]) for a, b in chords if a[0] <= x <= b[0])

    unit, weight = np.polynomial.legendre.leggauss(20)
    total = 0.0
    for (x0, _), (x1, _) in pairwise(nodes):
        at = (x0 + x1) / 2 + (x1 - x0) / 2 * unit
        total += float((x1 - x0) / 2 * sum(w * mass(x) / x for w, x in zip(weight, at, strict=True)))
    return total


def balanced_augrc(confidence, residual, labels):
    labels = list(labels)
    classes = set(labels)
    scaled = [r * len(labels) / (len(classes) * labels.count(y)) for r, y in zip(residual, labels, strict=True)]
    return augrc(confidence, scaled)


def balanced_aurc(confidence, residual, labels):
    curve = []
    for threshold, coverage, _, _ in points(confidence, residual):
        risks = []
        for y in sorted(set(labels)):
            kept = [
                r for c, r, label in zip(confidence, residual, labels, strict=True) if c >= threshold and label == y
            ]
            risks.append(sum(kept) / len(kept) if kept else 0.0)
        curve.append((coverage, sum(risks) / len(risks)))
    return trapezoid([*curve, (0.0, curve[-1][1])])


def failure_auroc(confidence, residual):
    successes = [c for c, r in zip(confidence, residual, strict=True) if r == 0]
    failures = [c for c, r in zip(confidence, residual, strict=True) if r == 1]
    if not successes or not failures:
        return math.nan
    won = sum((s > f) + 0.5 * (s == f) for s in successes for f in failures)
    return won / (len(successes) * len(failures))


def fpr_at_tpr(confidence, residual, tpr=0.95):
    successes = [c for c, r in zip(confidence, residual, strict=True) if r == 0]
    failures = [c for c, r in zip(confidence, residual, strict=True) if r == 1]
    if not successes or not failures:
        return math.nan
    rates = []
    for t in set(confidence):
        hit = sum(c >= t for c in successes) / len(successes)
        if hit >= round(tpr - 0.0005, 9):
            rates.append(sum(c >= t for c in failures) / len(failures))
    return min(rates)


def failure_ap(confidence, residual, positive="failure"):
    """Mean over positives of the precision at their own threshold."""
    if positive == "failure":
        confidence, residual = [-c for c in confidence], [1 - r for r in residual]
    precisions = []
    for c, r in zip(confidence, residual, strict=True):
        if r == 0:
            flagged = [rr for cc, rr in zip(confidence, residual, strict=True) if cc >= c]
            precisions.append(flagged.count(0) / len(flagged))
    return sum(precisions) / len(precisions) if precisions else 0.0


def ece_and_mce(confidence, residual, bins=20):
    total, worst = 0.0, 0.0
    for k in range(bins):
        low, high = k * (1 + 1e-8) / bins, (k + 1) * (1 + 1e-8) / bins
        inside = [
            (min(max(c, 0), 1), 1 - r)
            for c, r in zip(confidence, residual, strict=True)
            if low <= min(max(c, 0), 1) < high
        ]
        if inside:
            gap = abs(sum(c for c, _ in inside) - sum(y for _, y in inside)) / len(inside)
            total, worst = total + gap * len(inside) / len(confidence), max(worst, gap)
    return total, worst


LEVELS = st.sampled_from([-2.0, -0.0, 0.0, 0.25, 0.5, 1.0, 1.5])
DISTINCT = st.floats(-1e6, 1e6, allow_nan=False)
BINARY = st.integers(0, 1).map(float)
FRACTION = st.sampled_from([0.0, 0.125, 0.3, 0.5, 0.75, 1.0])


@st.composite
def samples(draw, residuals=BINARY, min_size=1, max_size=14):
    """(confidence, residual): half of the samples are full of ties."""
    scores = draw(st.sampled_from([LEVELS, DISTINCT]))
    n = draw(st.integers(min_size, max_size))
    confidence = draw(st.lists(scores, min_size=n, max_size=n))
    return confidence, draw(st.lists(residuals, min_size=n, max_size=n))


@st.composite
def labelled_samples(draw, residuals=BINARY):
    confidence, residual = draw(samples(residuals))
    n = len(confidence)
    return confidence, residual, draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))

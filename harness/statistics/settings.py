"""Does one method beat another over settings, such as data sets with their label regimes? Signs, shares and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Share:
    """How often something happens in so many trials, with the exact 95 % interval of its share and a test of one half.

    The interval is Clopper & Pearson's: a bootstrap of a share that is 0 or 1 would have no width, however few trials
    there are. p_value: two-sided, exact; it lies below 0.05 just where the interval excludes one half. Without trials the
    share is NaN, between 0 and 1, and p_value is 1. Clopper & Pearson 1934, "The Use of Confidence or Fiducial Limits",
    Biometrika.
    """

    count: int
    trials: int
    share: float
    low: float
    high: float
    p_value: float


def share_of(count: int, trials: int) -> Share:
    """ValueError for a count that is not from 0 to `trials`."""
    from scipy.stats import binomtest

    if not 0 <= count <= trials:
        raise ValueError(f"{count} of {trials} is no share.")
    if not trials:
        return Share(0, 0, math.nan, 0.0, 1.0, 1.0)
    found = binomtest(count, trials)
    interval = found.proportion_ci(0.95, method="exact")
    return Share(count, trials, count / trials, float(interval.low), float(interval.high), float(found.pvalue))


def share_of_wins(differences: ArrayLike, digits: int = 12) -> Share:
    """In what share of the settings one method beats another: the sign test. Differences (settings,), positive is better.

    Settings in which the two are equal, up to `digits` decimals, and those without a number (NaN) tell nothing and are
    left out. Dixon & Mood 1946, "The Statistical Sign Test", JASA.
    """
    signs = np.sign(np.round(np.asarray(differences, dtype=np.float64), digits))
    return share_of(int((signs > 0).sum()), int((np.abs(signs) > 0).sum()))


def heterogeneity(
    differences: ArrayLike, errors: tuple[ArrayLike, ArrayLike], runs: tuple[ArrayLike, ArrayLike]
) -> float:
    """p-value of "the difference of two means is the same in all settings": Welch's analysis of variance over settings.

    differences (settings,); errors: the standard errors of both means; runs: how many values each is the mean of (infinite:
    its error is taken as known). Settings without a number, or whose errors are missing or both 0, are left out; NaN for
    less than two. Welch 1951, "On the Comparison of Several Mean Values: An Alternative Approach", Biometrika; degrees of
    freedom of a difference after Satterthwaite 1946.
    """
    from scipy.stats import f

    difference = np.asarray(differences, dtype=np.float64)
    squares = [np.asarray(each, dtype=np.float64) ** 2 for each in errors]
    spare = [np.asarray(each, dtype=np.float64) - 1 for each in runs]
    variance = squares[0] + squares[1]
    with np.errstate(divide="ignore", invalid="ignore"):  # a setting with a single run has no error either
        strain = (squares[0] ** 2 / spare[0] + squares[1] ** 2 / spare[1]) / variance**2  # 1 / degrees of freedom
    known = np.isfinite(difference) & np.isfinite(strain) & (variance > 0)
    k = int(known.sum())
    if k < 2:
        return math.nan
    weight = 1 / variance[known]
    share = weight / weight.sum()
    between = (weight * (difference[known] - share @ difference[known]) ** 2).sum() / (k - 1)
    lack = float(((1 - share) ** 2 * strain[known]).sum())
    freedom = (k**2 - 1) / (3 * lack) if lack > 0 else np.finfo(float).max
    return float(f.sf(between / (1 + 2 * (k - 2) / (k**2 - 1) * lack), k - 1, freedom))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values of one family, of any shape, adjusted for their number. Holm 1979, Scand. J. Stat. 6."""
    flat = p_values.ravel()
    order = np.argsort(flat, kind="stable")
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * np.arange(len(flat), 0, -1)), 1.0)
    return adjusted.reshape(p_values.shape)

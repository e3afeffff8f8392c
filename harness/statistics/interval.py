"""The one interval of the harness: 95 %, from the percentiles of bootstrap replicates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

TAILS = (2.5, 97.5)
"""Percentiles at which an interval ends."""

DIGITS = 12
"""Replicates are compared after rounding to so many decimals, so that equal ones tie on every processor, however its
sums are rounded."""


def percentile_interval(replicates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high end of the 95 % interval of each column, over the first axis: (replicates, ...) -> (...), (...).

    A replicate in which a number is undefined (NaN) tells nothing about it and is left out; without any defined
    replicate there is no interval, and both ends are NaN. Efron & Tibshirani 1993, "An Introduction to the Bootstrap".
    """
    values = np.asarray(replicates, dtype=np.float64)
    columns = values.reshape(len(values), math.prod(values.shape[1:]))
    ends = np.full((2, columns.shape[1]), np.nan)
    undefined = np.isnan(columns)
    whole, some = ~undefined.any(axis=0), ~undefined.all(axis=0)
    for chosen, percentile in (whole, np.percentile), (some & ~whole, np.nanpercentile):  # the latter is much slower
        if chosen.any():
            ends[:, chosen] = percentile(columns[:, chosen], TAILS, axis=0)
    low, high = ends.reshape(2, *values.shape[1:])
    return np.asarray(low), np.asarray(high)


def contains_zero(replicates: ArrayLike) -> NDArray[np.bool_]:
    """Whether the interval of each column of differences contains 0: the two that are compared cannot be told apart.

    Its ends are rounded first, else the last digit would decide where it ends at 0, and differ with the direction.
    """
    low, high = (np.round(end, DIGITS) for end in percentile_interval(replicates))
    return np.asarray((low <= 0.0) & (high >= 0.0))

"""Calibration error: the gap between stated confidence and observed accuracy.

`confidence` (n,) meant as the probability of being correct; `residual` (n,) binary: 1 failure, 0 success.
Confidence outside [0, 1] is clipped to it, as FD-Shifts does, so that any score can be evaluated. Samples
of equal confidence always share a bin. Residuals other than 0 and 1, and empty, non-finite, mismatched or
not one-dimensional input raise ValueError, as does `bins` < 1.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, IntArray, require_binary, scored_pair


def ece(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    """Expected calibration error: |accuracy - mean confidence|, averaged over samples by bin.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Bins of
    equal width, closed on the left (1.0 belongs to the last); empty bins are dropped; ties share a bin.
    ValueError for bad or not binary input and bins < 1. Naeini et al. 2015, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning", AAAI; Guo et al. 2017, "On Calibration of Modern Neural
    Networks", ICML.
    """
    stated, correct = _stated_and_correct(confidence, residual)
    share, gap = _bin_gaps(stated, correct, _equal_width(stated, _bin_count(bins)))
    return float((share * gap).sum())


def mce(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    """Maximum calibration error: the largest |accuracy - mean confidence| of a bin that is not empty.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Bins,
    ties and ValueError as for `ece`. Naeini et al. 2015; Guo et al. 2017.
    """
    stated, correct = _stated_and_correct(confidence, residual)
    _, gap = _bin_gaps(stated, correct, _equal_width(stated, _bin_count(bins)))
    return float(gap.max())


def adaptive_ece(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    """Expected calibration error over bins of equal mass.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Samples
    are ranked by confidence and cut into `bins` parts whose sizes differ by at most one; a tie goes as a
    whole to the part that holds its middle. ValueError as for `ece`. Nixon et al. 2019,
    "Measuring Calibration in Deep Learning", CVPR Workshops.
    """
    stated, correct = _stated_and_correct(confidence, residual)
    share, gap = _bin_gaps(stated, correct, _equal_mass(stated, _bin_count(bins)))
    return float((share * gap).sum())


def _stated_and_correct(confidence: ArrayLike, residual: ArrayLike) -> tuple[FloatArray, FloatArray]:
    scores, losses = scored_pair(confidence, residual)
    require_binary(losses)
    return np.clip(scores.astype(np.float64), 0.0, 1.0), 1.0 - losses


def _bin_count(bins: int) -> int:
    try:
        count = operator.index(bins)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"bins must be a whole number >= 1, got {bins!r}.")
    return count


def _equal_width(stated: FloatArray, bins: int) -> NDArray[np.intp]:
    # The last edge lies just above 1, which keeps 1.0 in the last bin; as in FD-Shifts.
    edges = np.linspace(0.0, 1.0 + 1e-8, bins + 1)
    return np.searchsorted(edges, stated, side="right") - 1


def _equal_mass(stated: FloatArray, bins: int) -> IntArray:
    _, group, size = np.unique(stated, return_inverse=True, return_counts=True)
    doubled_middle = 2 * np.cumsum(size) - size
    return (doubled_middle * bins // (2 * len(stated)))[group]


def _bin_gaps(stated: FloatArray, correct: FloatArray, index: IntArray) -> tuple[FloatArray, FloatArray]:
    """Share of samples and |accuracy - mean confidence| of every bin that is not empty."""
    count = np.bincount(index)
    used = count > 0
    excess = np.bincount(index, weights=correct - stated)[used]
    return count[used] / len(stated), np.abs(excess) / count[used]

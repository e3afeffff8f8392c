"""Calibration error: the gap between stated confidence and observed accuracy.

`confidence` (n,) meant as the probability of being correct; `residual` (n,) binary: 1 failure, 0 success.
Confidence outside [0, 1] is clipped to it, as FD-Shifts does, so that any score can be evaluated. Samples
of equal confidence always share a bin. Residuals other than 0 and 1, and empty, non-finite, mismatched or
not one-dimensional input raise ValueError, as does `bins` < 1.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike

from harness.metrics._checks import FloatArray, IntArray, require_binary, scored_pair
from harness.metrics._weighted import Replicates, point_value


def ece(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    r"""Expected calibration error: |accuracy - mean confidence|, averaged over samples by bin.

    $$ \mathrm{ECE} = \sum_b \frac{n_b}{n} \left| \mathrm{acc}_b - \mathrm{conf}_b \right| $$

    $n_b$: samples of bin $b$; $\mathrm{acc}_b$: share of them that are correct; $\mathrm{conf}_b$: their mean confidence.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Bins of
    equal width from 0 to 1 + 1e-8, as FD-Shifts has them: a confidence at a multiple of 1 / bins lies just
    below the edge there and falls into the lower bin, 1.0 into the last (one that was rounded to float32
    may lie above); 0.0 is in the first. Empty bins are dropped; ties share a bin. ValueError for bad or not
    binary input and bins < 1. Biased upward where bins hold few samples, and resamples are more so: an interval
    over them may lie above the value. Naeini et al. 2015, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning", AAAI; Guo et al. 2017, "On Calibration of Modern Neural
    Networks", ICML.
    """
    return point_value(ece_kernel, confidence, residual, bins=bins)


def ece_kernel(replicates: Replicates, bins: int = 20) -> FloatArray:
    excess, _ = _equal_width_bins(replicates, bins)
    result: FloatArray = np.abs(excess).sum(axis=1) / replicates.total
    return result


def mce(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    r"""Maximum calibration error: the largest |accuracy - mean confidence| of a bin that is not empty.

    $$ \mathrm{MCE} = \max_b \left| \mathrm{acc}_b - \mathrm{conf}_b \right| $$

    Symbols as for `ece`.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Bins,
    ties and ValueError as for `ece`. Naeini et al. 2015; Guo et al. 2017.
    """
    return point_value(mce_kernel, confidence, residual, bins=bins)


def mce_kernel(replicates: Replicates, bins: int = 20) -> FloatArray:
    excess, weight = _equal_width_bins(replicates, bins)
    largest: FloatArray = (np.abs(excess) / np.maximum(weight, 1.0)).max(axis=1)
    return largest


def adaptive_ece(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> float:
    r"""Expected calibration error over bins of equal mass.

    $$ \sum_b \frac{n_b}{n} \left| \mathrm{acc}_b - \mathrm{conf}_b \right| $$

    Symbols as for `ece`.

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). Lower is better; in [0, 1]. Samples
    are ranked by confidence and cut into `bins` parts whose sizes differ by at most one; a tie goes as a
    whole to the part that holds its middle. ValueError as for `ece`. Nixon et al. 2019,
    "Measuring Calibration in Deep Learning", CVPR Workshops.
    """
    scores, losses = scored_pair(confidence, residual)
    require_binary(losses)
    stated = np.clip(scores.astype(np.float64), 0.0, 1.0)
    part = _equal_mass(stated, _bin_count(bins))
    return float(np.abs(np.bincount(part, weights=1.0 - losses - stated)).sum() / len(stated))


def reliability(confidence: ArrayLike, residual: ArrayLike, bins: int = 20) -> tuple[FloatArray, FloatArray, IntArray]:
    """The bins of `ece` that are not empty, in order: mean confidence, accuracy, and number of samples, each (used,).

    Of confidence (n,), clipped to [0, 1], and binary residual (n,). The mean of |accuracy - mean confidence| weighted by
    samples is `ece`. ValueError as there. DeGroot & Fienberg 1983, "The Comparison and Evaluation of Forecasters".
    """
    scores, losses = scored_pair(confidence, residual)
    require_binary(losses)
    stated = np.clip(scores.astype(np.float64), 0.0, 1.0)
    part = np.searchsorted(_edges(bins), stated, side="right")
    samples = np.bincount(part)
    used = samples > 0
    counts = samples[used]
    means = np.bincount(part, weights=stated)[used] / counts
    return means, np.bincount(part, weights=1.0 - losses)[used] / counts, counts


def _bin_count(bins: int) -> int:
    try:
        count = operator.index(bins)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"bins must be a whole number >= 1, got {bins!r}.")
    return count


def _equal_width_bins(replicates: Replicates, bins: int) -> tuple[FloatArray, FloatArray]:
    """(replicates, used bins): correct samples beyond the stated confidence, and samples."""
    require_binary(replicates.sample.residual)
    assert replicates.sample.group_confidence is not None
    stated = np.clip(replicates.sample.group_confidence, 0.0, 1.0)
    index = np.searchsorted(_edges(bins), stated, side="right")
    starts = np.flatnonzero(np.append(True, index[1:] != index[:-1]))  # groups come in order of confidence
    excess = replicates.weight * (1.0 - stated) - replicates.error
    return np.add.reduceat(excess, starts, axis=1), np.add.reduceat(replicates.weight, starts, axis=1)


def _edges(bins: int) -> FloatArray:
    """Of bins of equal width. The last lies just above 1, which keeps 1.0 in the last bin, and moves every edge but 0
    up; as in FD-Shifts."""
    return np.linspace(0.0, 1.0 + 1e-8, _bin_count(bins) + 1)


def _equal_mass(stated: FloatArray, bins: int) -> IntArray:
    _, group, size = np.unique(stated, return_inverse=True, return_counts=True)
    doubled_middle = 2 * np.cumsum(size) - size
    return (doubled_middle * bins // (2 * len(stated)))[group]

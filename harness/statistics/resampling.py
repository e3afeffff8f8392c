"""The bootstrap: a resample is a count per observation, and all methods share the same resamples."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weights = NDArray[np.int32]
"""(replicates, n): how often each observation occurs in each resample."""

_IN_CACHE = 1 << 14  # numbers of some arrays that stay in cache


def bootstrap_weights(n: int, replicates: int, seed: int, strata: ArrayLike | None = None) -> Weights:
    """How often each of n observations occurs in each resample with replacement: (replicates, n).

    Row b depends on (n, seed, strata, b) alone, not on the number of rows. `strata` (n,) are integers;
    every stratum is resampled within itself and keeps its size. ValueError for n or replicates < 1. Efron & Tibshirani
    1993, "An Introduction to the Bootstrap".
    """
    counts = np.empty((replicates, n), dtype=np.int32) if n > 0 and replicates > 0 else np.empty((0, 0), dtype=np.int32)
    for row, drawn in enumerate(weight_rows(n, replicates, seed, strata)):
        counts[row] = drawn
    return counts


def weight_rows(n: int, replicates: int, seed: int, strata: ArrayLike | None = None) -> Iterator[NDArray[np.intp]]:
    """The rows of `bootstrap_weights` one by one, for samples whose counts would fill the memory."""
    if n < 1 or replicates < 1:
        raise ValueError(f"a bootstrap needs samples and replicates, got {n} and {replicates}.")
    stratum = np.zeros(n, dtype=np.intp) if strata is None else np.asarray(strata)
    if len(stratum) != n:
        raise ValueError(f"strata has {len(stratum)} samples, there are {n}.")
    members = np.argsort(stratum, kind="stable")
    _, sizes = np.unique(stratum, return_counts=True)
    alone = len(sizes) == 1
    size = n if alone else np.repeat(sizes, sizes)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    for replicate in range(replicates):
        pick = _uniform_wholes(size, n, seed, replicate)
        yield np.bincount(pick if alone else members[start + pick], minlength=n)


@lru_cache(maxsize=16)
def shared_weights(n: int, replicates: int, seed: int) -> NDArray[np.uint16]:
    """The sample itself, each observation once, followed by its resamples, one row per observation: (n, 1 + replicates).

    Samples of one size share their resamples, so that methods, metrics and networks that saw as many observations in
    one order stay paired. Read-only, because it is kept.
    """
    counts = np.ones((n, 1 + replicates), dtype=np.uint16)
    if replicates:
        counts[:, 1:] = bootstrap_weights(n, replicates, seed).T
    counts.flags.writeable = False
    return counts


def group_draws(groups: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """Which of so many groups, such as training seeds, each replicate takes with replacement: (replicates, groups)."""
    return np.random.default_rng([seed, groups]).integers(groups, size=(replicates, groups))


def mean_over_drawn(replicates: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Mean over groups that are drawn anew in each replicate: (groups, replicates) -> (replicates,).

    The draws depend on the number of groups and of replicates alone: everybody who has as many shares them.
    """
    drawn = group_draws(len(replicates), replicates.shape[1], seed).T
    return np.asarray(np.take_along_axis(replicates, drawn, axis=0).mean(axis=0))


def _uniform_wholes(below: int | NDArray[np.intp], n: int, seed: int, replicate: int) -> NDArray[np.intp]:
    """n whole numbers from 0 to `below` (n,), which none reaches."""
    # From raw bits: NumPy guarantees the stream of a bit generator for good, that of a distribution not.
    stream = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(replicate,)))
    scale = np.broadcast_to(below * 2.0**-53, n)
    wholes = np.empty(n, dtype=np.intp)
    for start in range(0, n, _IN_CACHE):
        some = slice(start, min(start + _IN_CACHE, n))
        bits = stream.random_raw(some.stop - start)
        bits >>= np.uint64(11)
        # 53 bits are a float64 exactly, and so is their 2**-53th: the product is rounded once, as that of a fraction is
        wholes[some] = bits.view(np.int64).astype(np.float64) * scale[some]
    return wholes

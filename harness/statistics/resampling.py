"""The bootstrap: a resample is a count per observation, and all methods share the same resamples."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weights = NDArray[np.int32]
"""(replicates, n): how often each observation occurs in each resample."""

_LEAST_AT_ONCE, _COUNTS_AT_ONCE, _TURNED_AT_ONCE, _BITS_AT_ONCE = 32, 1 << 23, 8, 1 << 14


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


def weight_rows(n: int, replicates: int, seed: int, strata: ArrayLike | None = None) -> Iterator[NDArray[np.uint8]]:
    """The rows of `bootstrap_weights` one by one, for samples whose counts would fill the memory.

    Eight bits hold them: that one of n observations is drawn 256 times has a chance below n / 256!, or 1e-500.
    """
    _require_some(n, replicates)
    stratum = np.zeros(n, dtype=np.intp) if strata is None else np.asarray(strata)
    if len(stratum) != n:
        raise ValueError(f"strata has {len(stratum)} samples, there are {n}.")
    members = np.argsort(stratum, kind="stable")
    _, sizes = np.unique(stratum, return_counts=True)
    size = np.repeat(sizes, sizes).astype(np.float64)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    for replicate in range(replicates):
        pick = _picks(size, seed, replicate)
        counts = np.zeros(n, dtype=np.uint8)
        np.add.at(counts, pick if len(sizes) == 1 else members[start + pick], np.uint8(1))
        yield counts


def weights_by_sample(
    n: int, replicates: int, seed: int, strata: ArrayLike | None = None, at_once: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """`bootstrap_weights` with one row per observation, some replicates at a time: (n, `at_once` or, at the end, fewer).

    By default as many replicates as take 8 MB, but at least 32.
    """
    _require_some(n, replicates)
    rows, width = weight_rows(n, replicates, seed, strata), at_once or max(_LEAST_AT_ONCE, _COUNTS_AT_ONCE // n)
    for first in range(0, replicates, width):
        counts = np.empty((n, min(width, replicates - first)), dtype=np.uint8)
        for column in range(0, counts.shape[1], _TURNED_AT_ONCE):
            some = counts[:, column : column + _TURNED_AT_ONCE]
            some[:] = np.stack(list(islice(rows, some.shape[1]))).T
        yield counts


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


def _require_some(n: int, replicates: int) -> None:
    if n < 1 or replicates < 1:
        raise ValueError(f"a bootstrap needs samples and replicates, got {n} and {replicates}.")


def _picks(size: NDArray[np.float64], seed: int, replicate: int) -> NDArray[np.intp]:
    """One number from 0 to below each size: (n,). Some at a time, because what fits the cache takes half as long."""
    # From raw bits: NumPy guarantees the stream of a bit generator for good, that of a distribution not.
    stream = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(replicate,)))
    picks = np.empty(len(size), dtype=np.intp)
    for first in range(0, len(size), _BITS_AT_ONCE):
        some = slice(first, min(first + _BITS_AT_ONCE, len(size)))
        bits = stream.random_raw(some.stop - first)
        bits >>= np.uint64(11)
        values = bits.view(np.int64).astype(np.float64)  # below 2**53, hence exact; signed numbers are converted faster
        values *= 2.0**-53
        values *= size[some]
        picks[some] = values
    return picks

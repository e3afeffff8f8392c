"""Whether the order of a set's rows tells something of its samples: a permutation test of the strongest pattern."""

from __future__ import annotations

import numpy as np

LAGS, SLICES, PERIODS, DRAWS = 32, 10, range(2, 17), 99
SURPRISING = 6.0
"""Random orders exceed it once in 4,000: the largest of many numbers follows a Gumbel distribution, about."""


def strongest(told: np.ndarray) -> float:
    """The strongest pattern in `told` (facts, n), whose values are small whole numbers: the largest standardised of

    - how many neighbours have equal values, at each distance up to `LAGS`, the last row being followed by the first;
    - chi-squares of the values in `SLICES` equal parts, and of the values in every 2nd, 3rd, ... row.
    """
    n = told.shape[1]
    expected = np.array([sum(c * (c - 1) for c in np.bincount(row).tolist()) / (n - 1) for row in told])
    found = [np.count_nonzero(told == np.roll(told, lag, axis=1), axis=1) for lag in range(1, LAGS + 1)]
    neighbours = np.abs(np.array(found) - expected) / np.sqrt(expected * (1 - expected / n))
    place = np.arange(n)
    parts = [place * SLICES // n, *(place % period for period in PERIODS)]
    return float(max(neighbours.max(), *(chi_squares(told, part).max() for part in parts)))


def chi_squares(told: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(facts,) chi-squares of the independence of values and parts, as standard normal ones (Wilson & Hilferty 1931)."""
    facts, values, sizes = len(told), int(told.max()) + 1, np.bincount(part)
    cells = (np.arange(facts)[:, None] * values + told) * len(sizes) + part
    counts = np.bincount(cells.ravel(), minlength=facts * values * len(sizes)).reshape(facts, values, len(sizes))
    shares = counts.sum(axis=2) / len(part)
    expected = shares[:, :, None] * sizes
    squares = ((counts - expected) ** 2 / np.where(expected > 0, expected, 1)).sum(axis=(1, 2))
    freedom = (np.count_nonzero(shares, axis=1) - 1) * (len(sizes) - 1)
    variance = 2 / (9 * freedom)
    normal: np.ndarray = (np.cbrt(squares / freedom) - 1 + variance) / np.sqrt(variance)
    return normal


def surprise(facts: dict[str, np.ndarray]) -> float:
    """By how many standard deviations the strongest pattern of an order exceeds those of random orders.

    facts: (n,) whole numbers each; those that are the same for all rows say nothing in any order. Zero without others.
    """
    told = [np.unique(values, return_inverse=True)[1] for values in facts.values() if len(np.unique(values)) > 1]
    if not told:
        return 0.0
    table, rng = np.array(told, dtype=np.int16), np.random.default_rng(0)
    chance = [strongest(table[:, rng.permutation(table.shape[1])]) for _ in range(DRAWS)]
    return float((strongest(table) - np.mean(chance)) / np.std(chance))

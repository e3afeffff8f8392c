"""Ranks of methods with their uncertainty: rank intervals, the chance to be best, tied groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.statistics.interval import TAILS, contains_zero, percentile_interval

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 16  # methods that are compared with the first of a group in one go


def rank_with_uncertainty(
    values: pd.Series[float], replicates: pd.DataFrame, *, lower_is_better: bool = True
) -> pd.DataFrame:
    """Rank methods by value and say how far paired bootstrap replicates support the order.

    `values` holds one value per method; `replicates` one row per bootstrap replicate and one column per
    method, each row from the same resample for all methods. The result is indexed by method, sorted by
    rank, then by name, whatever the order of the input:

    - value, low, high: the value and its 95 % percentile interval;
    - rank: 1 is best, equal values share the lowest rank (so the next rank is skipped);
    - rank_low, rank_high: 2.5 % and 97.5 % percentiles of the rank within each replicate, widened to
      ranks that occur;
    - p_best: share of replicates in which the method is best; methods that tie for best share the vote;
    - group: from 1. Walking down the ranking, a method joins the current group while the 95 % percentile
      interval of its paired difference to the first (best) member contains 0, else it opens the next.

    ValueError for missing or infinite numbers (missing is a status, not a rank), no methods, no
    replicates, repeated names, or names that differ between the two. Intervals of ranks after Goldstein &
    Spiegelhalter 1996, "League Tables and Their Limitations", JRSS A.
    """
    import pandas as pd

    _check(values, replicates)
    names = list(values.index)
    numbers, draws = values.to_numpy(dtype=np.float64), replicates[names].to_numpy(dtype=np.float64)
    order, table = ranked([str(name) for name in names], numbers, draws, lower_is_better=lower_is_better)
    low, high = percentile_interval(draws[:, order])
    index = pd.Index([names[place] for place in order], name="method")
    return pd.DataFrame({"value": numbers[order], "low": low, "high": high, **table}, index=index)


def ranked(
    names: Sequence[str], values: NDArray[np.floating], draws: NDArray[np.floating], *, lower_is_better: bool = True
) -> tuple[list[int], dict[str, NDArray[Any]]]:
    """`rank_with_uncertainty` on plain arrays, for boards of many columns: values (m,) and draws (replicates, m), finite.

    Returns the positions of the methods sorted by rank, then by name, and the columns of its table in that order, but for
    values and their intervals.
    ValueError for missing or infinite numbers.
    """
    if not (np.isfinite(values).all() and np.isfinite(draws).all()):
        raise ValueError("missing or infinite numbers cannot be ranked.")
    cost = values if lower_is_better else -values
    order = sorted(range(len(names)), key=lambda place: (cost[place], names[place]))
    draws = np.ascontiguousarray(draws[:, order])
    ranks = lowest_ranks(draws if lower_is_better else -draws)
    return order, {
        "rank": lowest_ranks(cost[order][None])[0],
        "rank_low": np.percentile(ranks, TAILS[0], axis=0, method="lower"),
        "rank_high": np.percentile(ranks, TAILS[1], axis=0, method="higher"),
        "p_best": _share_of_wins(ranks),
        "group": _tied_groups(draws),
    }


def tied_ranks(costs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks along the last axis, lowest cost first; equal costs share their mean rank, NaN has none."""
    defined = ~np.isnan(costs)
    highest = defined.sum(axis=-1, keepdims=True) + 1 - lowest_ranks(-costs)
    return np.where(defined, (lowest_ranks(costs) + highest) / 2, np.nan)


def _check(values: pd.Series[float], replicates: pd.DataFrame) -> None:
    if not len(values):
        raise ValueError("values is empty: there is no method to rank.")
    if not len(replicates):
        raise ValueError("replicates is empty: rank uncertainty needs bootstrap replicates.")
    for what, names in (("values", values.index), ("replicates", replicates.columns)):
        if names.has_duplicates:
            raise ValueError(f"{what} names {names[names.duplicated()][0]!r} more than once.")
    unpaired = set(values.index) ^ set(replicates.columns)
    if unpaired:
        raise ValueError(f"values and replicates name different methods: {sorted(map(str, unpaired))}.")
    finite = np.isfinite(values.to_numpy(dtype=float))
    finite &= np.isfinite(replicates[list(values.index)].to_numpy(dtype=float)).all(axis=0)
    if not finite.all():
        missing = sorted(str(name) for name in values.index[~finite])
        raise ValueError(f"missing or infinite numbers cannot be ranked: {missing}.")


def lowest_ranks(costs: NDArray[np.floating]) -> NDArray[np.int64]:
    """Ranks along the last axis, lowest cost first; equal costs share the lowest rank, NaN comes last."""
    order = np.argsort(costs, axis=-1, kind="stable")
    ordered = np.take_along_axis(costs, order, axis=-1)
    first = np.zeros(costs.shape, dtype=np.int64)  # place of the first of equal costs
    first[..., 1:] = np.where(ordered[..., 1:] != ordered[..., :-1], np.arange(1, costs.shape[-1]), 0)
    ranks = np.empty_like(first)
    np.put_along_axis(ranks, order, np.maximum.accumulate(first, axis=-1) + 1, axis=-1)
    return ranks


def _share_of_wins(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    best = ranks == 1
    votes = best / best.sum(axis=1, keepdims=True)
    # Sorted first, so that the order of the replicates cannot change the last digit of the sum.
    return np.asarray(np.sort(votes, axis=0).mean(axis=0))


def _tied_groups(draws: NDArray[np.floating]) -> NDArray[np.int64]:
    """Group of each column; columns from best to worst."""
    groups = np.ones(draws.shape[1], dtype=np.int64)
    leader, column = 0, 1
    while column < len(groups):
        some = draws[:, column : column + _AT_ONCE] - draws[:, leader : leader + 1]
        apart = np.flatnonzero(~contains_zero(some))
        joined = int(apart[0]) if len(apart) else some.shape[1]
        groups[column : column + joined] = groups[leader]
        column += joined
        if len(apart):
            groups[column] = groups[leader] + 1
            leader, column = column, column + 1
    return groups

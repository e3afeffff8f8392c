"""Robust ranks: per metric over cells, and per criterion over metrics, with bootstrap uncertainty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.statistics.interval import DIGITS, TAILS
from harness.statistics.order_statistics import Weights, medians, percentiles
from harness.statistics.ranks import rank_with_uncertainty
from harness.statistics.resampling import shared_weights
from harness.statistics.scores import Block, Metric, Scores, read_scores

if TYPE_CHECKING:
    import pandas as pd

_JOINING = 0.5


def criterion_ranks(
    frame: pd.DataFrame,
    *,
    cell: str | Sequence[str],
    reference: Sequence[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean rank of each method over the metrics of each criterion, and how far the metrics disagree.

    `frame` has one row per score: method, the `cell` columns (such as model and data set), metric,
    criterion, direction ("higher" or "lower" is better), observation, value, status. Per metric and cell,
    values are clipped to their 2.5 % and 97.5 % percentiles over methods and observations and scaled to
    [0, 1] (a constant metric to 1/2); a method's score is its median over observations, averaged over the
    cells; scores become ranks, 1 is best, ties share their average. Result, by criterion, then best first:

    - mean_rank, rank_spread: mean and population SD of the method's ranks over metrics. Read the mean
      only where the spread is low;
    - low, high: 95 % percentile interval of mean_rank under a paired bootstrap over observations that
      repeats the whole computation. Cells with as many observations share their draws;
    - rank, rank_low, rank_high, p_best, group: the order by mean_rank and how well it is supported; see
      `rank_with_uncertainty`;
    - missing: observations the method owes in this criterion.

    A method that owes one observation (its status is not "ok", or the row is absent) is incomplete in the
    criterion: it is listed last without ranks and has no influence on others. Status "not-applicable" is
    no debt: the score is the mean over the other cells. The protocol, not the method, should decide it.

    With `reference`, these methods alone set the scale and each other's ranks, and every other method gets
    the ranks it would have if it alone joined them: adding methods never moves anyone.

    ValueError as for `read_scores`, for less than one replicate and if every score is exempt. Source: Klein et al. 2024,
    "Navigating the Maze of Explainable AI" (LATEC), with average ranks for ties and without NaN ranks.
    """
    import pandas as pd

    every = mean_ranks(frame, cell=cell, reference=reference, replicates=replicates, seed=seed)
    return pd.concat([_criterion_table(each) for each in every], ignore_index=True)


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks in one criterion with their paired replicates: what `criterion_ranks` is made of.

    means: one column per ranked method; row 0 is the sample itself, the others are replicates, which are paired
    across criteria. spread: population SD of the sample's ranks over metrics. pool: methods that set the ranks.
    missing: observations that each method owes, the unranked included.
    """

    criterion: str
    means: pd.DataFrame
    spread: pd.Series[float]
    pool: tuple[str, ...]
    missing: pd.Series[int]


def mean_ranks(
    frame: pd.DataFrame,
    *,
    cell: str | Sequence[str],
    reference: Sequence[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> list[MeanRanks]:
    """Mean ranks of every criterion, for callers that combine criteria or compare methods pair by pair.

    Input, treatment, errors and source as for `criterion_ranks`; feed `means` to `order_by_mean_rank`.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, not {replicates}.")
    scores = read_scores(frame, cell, reference)
    if not scores.blocks:
        raise ValueError("no score applies: there is nothing to rank.")
    return [_mean_ranks(scores, ranking) for ranking in _rankings(scores, replicates, seed)]


def order_by_mean_rank(means: pd.DataFrame, pool: Sequence[str]) -> pd.DataFrame:
    """Order of methods by `MeanRanks.means` with its uncertainty: columns of `rank_with_uncertainty`, best first.

    The pool is ordered among itself, every other method as if it alone joined the pool.
    """
    import pandas as pd

    places = comparable(means, pool)
    members = [name for name in means.columns if name in set(pool)]
    if not members:
        columns = ["value", "low", "high", "rank", "rank_low", "rank_high", "p_best", "group"]
        return pd.DataFrame(columns=columns, dtype=float)
    tables = [rank_with_uncertainty(places[members].iloc[0], places[members].iloc[1:])]
    for newcomer in means.columns.difference(members, sort=False):
        joined = places[[*members, newcomer]]
        tables.append(rank_with_uncertainty(joined.iloc[0], joined.iloc[1:]).loc[[newcomer]])
    table = pd.concat(tables)
    table = table.loc[sorted(table.index, key=lambda name: (table.at[name, "value"], str(name)))]
    outside = ~table.index.isin(members)
    table.loc[outside, ["value", "low", "high"]] += _JOINING
    return table


def comparable(means: pd.DataFrame, pool: Sequence[str]) -> pd.DataFrame:
    """Mean ranks on one scale: a method that joins the pool meets one rival more than the pool's own members do.

    Its rank is half a place higher than that of a member with the very same scores; that half is taken off.
    """
    joining = ~means.columns.isin(list(pool))
    return means - _JOINING * joining


def metric_ranks(
    frame: pd.DataFrame, *, cell: str | Sequence[str], reference: Sequence[str] | None = None
) -> pd.DataFrame:
    """Score and rank of each method for each metric: the table behind `criterion_ranks`.

    Columns: method, criterion, metric, score (in [0, 1] for methods of the reference, in the metric's own
    direction), rank (1 is best, average for ties). Methods that are incomplete in a criterion have no rows
    there. Input, treatment, errors and source as for `criterion_ranks`.
    """
    import pandas as pd

    scores = read_scores(frame, cell, reference)
    names = np.array(scores.methods, dtype=object)
    columns: dict[str, list[object]] = {"method": [], "criterion": [], "metric": [], "score": [], "rank": []}
    for ranking in _rankings(scores, replicates=0, seed=0):
        for metric, score, rank in zip(ranking.metrics, ranking.scores, ranking.ranks, strict=True):
            columns["method"] += names[ranking.ranked].tolist()
            columns["criterion"] += [metric.criterion] * len(rank)
            columns["metric"] += [metric.name] * len(rank)
            columns["score"] += score[:, 0].tolist()
            columns["rank"] += rank[:, 0].tolist()
    return pd.DataFrame(columns).astype({"score": float, "rank": float})


@dataclass(frozen=True)
class _Ranking:
    """Ranks in one criterion. Column 0 of the last axis is the sample itself, the others replicates.

    ranked: methods with ranks, as places in Scores.methods; in_pool: (ranked,), those who set the ranks.
    """

    metrics: tuple[Metric, ...]
    ranked: NDArray[np.intp]
    in_pool: NDArray[np.bool_]
    scores: NDArray[np.float64]  # (metrics, ranked, 1 + replicates)
    ranks: NDArray[np.float64]  # the same
    missing: NDArray[np.int64]  # (all methods,)


def _rankings(scores: Scores, replicates: int, seed: int) -> Iterator[_Ranking]:
    weights = {
        size: shared_weights(size, replicates, seed) for size in {len(each.observations) for each in scores.blocks}
    }
    for metrics in scores.by_criterion().values():
        missing = np.sum([block.missing for blocks in metrics.values() for block in blocks], axis=0)
        everywhere = [np.any([block.applies for block in blocks], axis=0) for blocks in metrics.values()]
        complete = (missing == 0) & np.all(everywhere, axis=0)
        pool = complete & scores.in_reference
        averages = np.stack([_mean_over_cells(blocks, complete, pool, weights) for blocks in metrics.values()])
        # A method whose every cell lacks a pool to compare it with has no score, hence no rank.
        ranked = np.flatnonzero(complete & np.isfinite(averages).all(axis=(0, 2)))
        averages = np.round(averages[:, ranked], DIGITS)
        ranks = np.stack([_ranks(m.sign * a, pool[ranked]) for m, a in zip(metrics, averages, strict=True)])
        yield _Ranking(tuple(metrics), ranked, pool[ranked], averages, ranks, missing)


def _mean_over_cells(
    blocks: list[Block],
    complete: NDArray[np.bool_],
    pool: NDArray[np.bool_],
    weights: dict[int, Weights],
) -> NDArray[np.float64]:
    """Scores of one metric, (methods, replicates); NaN for methods without a cell."""
    total = np.zeros((len(complete), next(iter(weights.values())).shape[1]))
    cells = np.zeros((len(complete), 1))
    for block in blocks:
        here = complete & block.applies
        if (here & pool).any():
            total[here] += _cell_scores(block.values[here], pool[here], weights[len(block.observations)])
            cells[here] += 1
    return np.divide(total, cells, out=np.full_like(total, np.nan), where=cells > 0)


def _cell_scores(values: NDArray[np.float64], pool: NDArray[np.bool_], weights: Weights) -> NDArray[np.float64]:
    """Median over observations of the clipped and scaled values: (methods, observations) → (methods, replicates).

    Clipping and scaling keep the order, so they may follow the median, whose two middle values they treat apart.
    A constant cell becomes 1/2: it speaks neither for nor against methods that are exempt from it.
    """
    low, high = percentiles(values[pool], weights, TAILS)
    lower, upper = (np.clip(middle, low, high) for middle in medians(values, weights))
    span = np.broadcast_to(high - low, lower.shape)
    return np.divide((lower + upper) / 2 - low, span, out=np.full_like(lower, 0.5), where=span > 0)


def _ranks(cost: NDArray[np.float64], pool: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average ranks of each method among the pool and itself: (methods, replicates)."""
    ranks = np.where(pool, 0.5, 1.0)[:, None] + np.zeros_like(cost)  # a member of the pool also meets itself below
    for rival in cost[pool]:
        ranks += (rival < cost) + 0.5 * (rival == cost)
    return ranks


def _mean_ranks(scores: Scores, ranking: _Ranking) -> MeanRanks:
    import pandas as pd

    methods = pd.Index(scores.methods, name="method")
    names = methods[ranking.ranked]
    return MeanRanks(
        ranking.metrics[0].criterion,
        pd.DataFrame(ranking.ranks.mean(axis=0).T, columns=names),
        pd.Series(ranking.ranks[:, :, 0].std(axis=0), index=names),
        tuple(names[ranking.in_pool]),
        pd.Series(ranking.missing, index=methods),
    )


def _criterion_table(ranks: MeanRanks) -> pd.DataFrame:
    methods = ranks.missing.index
    order = order_by_mean_rank(ranks.means, ranks.pool).rename(columns={"value": "mean_rank"})
    order["rank_spread"] = ranks.spread
    order = order.reindex([*order.index, *methods.difference(ranks.means.columns, sort=False)])
    order["missing"] = ranks.missing
    order["criterion"] = ranks.criterion
    whole = ["rank", "rank_low", "rank_high", "group"]
    order[whole] = order[whole].astype("Int64")
    first = ["method", "criterion", "mean_rank", "rank_spread", "low", "high", *whole, "p_best", "missing"]
    return order.rename_axis("method").reset_index()[first]

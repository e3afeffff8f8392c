"""Do the metrics of a criterion agree? Functions of the table of `metric_ranks`."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.statistics.ranks import tied_ranks

if TYPE_CHECKING:
    import pandas as pd


def kendall_w(ranks: pd.DataFrame) -> pd.DataFrame:
    """Kendall's coefficient of concordance between the metrics of each criterion.

    `ranks`: columns method, criterion, metric, rank; one row each. Result: criterion, methods, metrics
    (how many of each), w in [0, 1] (1: all metrics order the methods alike; corrected for ties), p_value
    of "the metrics order independently" (Friedman's chi-square). w is NaN, and means undefined, for less
    than three methods or two metrics, or if every metric ties all methods. ValueError for repeated or
    missing ranks. Kendall & Babington Smith 1939, "The Problem of m Rankings", Ann. Math. Stat.
    """
    import pandas as pd

    rows = []
    for criterion, of in ranks.groupby("criterion", sort=True):
        table = rank_matrix(of)
        w, p_value = concordance(table)
        rows.append((criterion, len(table), table.shape[1], w, p_value))
    return pd.DataFrame(rows, columns=["criterion", "methods", "metrics", "w", "p_value"])


def metric_tau(ranks: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between each pair of metrics, of all criteria, over the methods both have ranked.

    `ranks` as for `kendall_w`. Result: metric_a, metric_b, same_criterion, methods (how many), tau in
    [-1, 1], p_value of independence. tau is NaN for less than two methods or if a metric ties them all.
    """
    import pandas as pd

    tables = {str(metric): rank_matrix(of).iloc[:, 0] for metric, of in ranks.groupby("metric", sort=True)}
    criterion = {str(metric): name for metric, name in zip(ranks["metric"], ranks["criterion"], strict=True)}
    rows = []
    for a, b in combinations(tables, 2):
        both = tables[a].index.intersection(tables[b].index)
        tau, p_value = kendall_tau(tables[a][both], tables[b][both])
        rows.append((a, b, criterion[a] == criterion[b], len(both), tau, p_value))
    return pd.DataFrame(rows, columns=["metric_a", "metric_b", "same_criterion", "methods", "tau", "p_value"])


def kendall_taus(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """tau-b between the last axes of ranks or scores (..., methods), for many resamples at once: (...).

    NaN, and means undefined, for less than two methods and where either ties them all.
    """
    first, second = np.triu_indices(a.shape[-1], 1)
    ours, theirs = (np.sign(each[..., first] - each[..., second]) for each in (a, b))
    spread = np.sqrt((ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1))
    total = (ours * theirs).sum(axis=-1)
    return np.asarray(np.divide(total, spread, out=np.full_like(spread, np.nan), where=spread > 0))


def kendall_ws(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """W, corrected for ties, of average ranks (..., raters, methods), for many resamples at once: (...).

    NaN, and means undefined, for less than three methods or two raters, and where every rater ties all methods.
    """
    raters, methods = ranks.shape[-2:]
    if methods < 3 or raters < 2:
        return np.full(ranks.shape[:-2], np.nan)
    centre = (methods + 1) / 2
    between = ((ranks.sum(axis=-2) - raters * centre) ** 2).sum(axis=-1)
    within = raters * ((ranks - centre) ** 2).sum(axis=(-2, -1))  # what `between` is if all raters agree
    return np.asarray(np.divide(between, within, out=np.full_like(between, np.nan), where=within > 0))


def rank_matrix(ranks: pd.DataFrame) -> pd.DataFrame:
    """Methods × metrics, both sorted. ValueError unless every method has one rank for every metric."""
    if ranks.duplicated(["method", "metric"]).any():
        method, metric = ranks.loc[ranks.duplicated(["method", "metric"]), ["method", "metric"]].iloc[0]
        raise ValueError(f"method {method!r} has more than one rank for metric {metric!r}.")
    table = ranks.pivot(index="method", columns="metric", values="rank").astype(float)
    if table.isna().to_numpy().any():
        unranked = sorted(map(str, table.index[table.isna().any(axis=1)]))
        raise ValueError(f"methods without a rank for every metric of the criterion: {unranked}.")
    return table


def kendall_tau(a: pd.Series[float], b: pd.Series[float]) -> tuple[float, float]:
    """tau-b and its p-value; NaN where undefined."""
    from scipy.stats import kendalltau

    if len(a) < 2:
        return np.nan, np.nan
    tau, p_value = kendalltau(a, b)
    return float(tau), float(p_value)


def rank_spread(costs: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far metrics disagree about each sample: population SD over the metrics of its places, see `places_of`.

    (samples,) in [0, 0.5]: 0 where all put it at the same place; NaN where fewer than two metrics are defined.
    """
    places = places_of(costs)
    defined = np.isfinite(places)
    count = np.maximum(defined.sum(axis=0), 1)
    mean = np.where(defined, places, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(defined, (places - mean) ** 2, 0).sum(axis=0) / count)
    return np.where(defined.sum(axis=0) < 2, np.nan, spread)


def places_of(costs: NDArray[np.floating]) -> NDArray[np.float64]:
    """(metrics, samples): where each metric puts a sample among those that it is defined for, from 0, the lowest cost, to 1.

    Ties share their mean; a metric that is equal for all samples puts them all at 1/2. NaN where a cost is not finite.
    """
    defined = np.isfinite(costs)
    ranks = tied_ranks(np.where(defined, costs, np.nan))
    others = defined.sum(axis=1, keepdims=True) - 1
    return np.where(others > 0, (ranks - 1) / np.maximum(others, 1), np.where(defined, 0.5, np.nan))


def concordance(table: pd.DataFrame) -> tuple[float, float]:
    """W of methods × metrics and the p-value of Friedman's test; NaN where undefined."""
    from scipy.stats import friedmanchisquare

    methods, metrics = table.shape
    if methods < 3 or metrics < 2 or (table.nunique() == 1).all():
        return np.nan, np.nan
    chi_square, p_value = friedmanchisquare(*table.to_numpy())
    return float(chi_square) / (metrics * (methods - 1)), float(p_value)

"""Ranks of query methods per setting, and how much they depend on single seeds.

A setting is one column of the comparison, such as a data set with its label regime, and has a plain name. The result
of `setting_ranks` is also what `pairwise_tests` (Friedman and Nemenyi), `kendall_w` and `metric_tau` read: there,
settings are the "metrics" and the measure is the criterion.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.statistics.agreement import kendall_tau

if TYPE_CHECKING:
    import pandas as pd

Compatibility = Literal["nnactive"] | None
_KEYS = ["measure", "setting", "method", "seed"]
_DIGITS = 12  # means that differ by less are rounding errors apart: they tie


def setting_ranks(frame: pd.DataFrame, *, compatibility: Compatibility = None) -> pd.DataFrame:
    """Rank of each method in each setting by its mean over seeds; 1 is best.

    `frame` has one row per run: measure (such as "aubc"), setting, method, seed, value; higher values are better.
    A measure without runs, such as foreground efficiency, has a single seed. Result: method, criterion (the measure),
    metric (the setting), mean, rank; sorted. Ties share their average rank. "nnactive" ranks means in percent
    with two decimals, and ties share their best rank.

    ValueError for absent columns, no rows, empty or non-finite entries, repeated rows, methods that lack a
    setting or a seed, and another compatibility.
    """
    import pandas as pd

    _check(frame, compatibility)
    tables = [_ranked(of, compatibility).assign(criterion=m, metric=s) for m, s, of in _settings(frame)]
    return pd.concat(tables, ignore_index=True)[["method", "criterion", "metric", "mean", "rank"]]


def average_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean rank of each method over the settings of each criterion, best first.

    `ranks` as from `setting_ranks`. Result: criterion, method, settings (how many), mean_rank, rank_sd (over settings,
    ddof 1; NaN for a single one), rank_se (rank_sd / sqrt(settings)).
    """
    of = ranks.groupby(["criterion", "method"], sort=True)["rank"]
    table = of.agg(settings="size", mean_rank="mean", rank_sd="std").reset_index()
    table["rank_se"] = table["rank_sd"] / np.sqrt(table["settings"])
    return table.sort_values(["criterion", "mean_rank", "method"], ignore_index=True)


def leave_one_seed_out(frame: pd.DataFrame, *, compatibility: Compatibility = None) -> pd.DataFrame:
    """`setting_ranks` by the mean over all seeds but one, for every seed in turn.

    Same input and errors; ValueError also for a setting with a single seed. Result: method, criterion, metric,
    left_out (the seed), mean, rank. Called "bootstrap" in nnActive.
    """
    import pandas as pd

    _check(frame, compatibility)
    tables = []
    for measure, setting, of in _settings(frame):
        seeds = sorted(of["seed"].unique())
        if len(seeds) < 2:
            raise ValueError(f"the setting {setting!r} has a single seed: there is none to leave out.")
        for seed in seeds:
            ranked = _ranked(of[of["seed"] != seed], compatibility)
            tables.append(ranked.assign(criterion=measure, metric=setting, left_out=seed))
    return pd.concat(tables, ignore_index=True)[["method", "criterion", "metric", "left_out", "mean", "rank"]]


def seed_stability(left_out: pd.DataFrame) -> pd.DataFrame:
    """Do the ranks of a setting stay when another seed is left out? Of the table of `leave_one_seed_out`.

    Result: criterion, metric (the setting), seeds, methods, tau (Kendall's tau-b, mean over all pairs of left-out
    seeds; 1: always the same order), lowest_tau. NaN, and means undefined, if a left-out ranking ties all
    methods or there is only one method.
    """
    import pandas as pd

    rows = []
    for (criterion, metric), of in left_out.groupby(["criterion", "metric"], sort=True):
        table = of.pivot(index="method", columns="left_out", values="rank").astype(float)
        taus = [kendall_tau(table[a], table[b])[0] for a, b in combinations(table.columns, 2)]
        rows.append((criterion, metric, table.shape[1], len(table), float(np.mean(taus)), float(np.min(taus))))
    return pd.DataFrame(rows, columns=["criterion", "metric", "seeds", "methods", "tau", "lowest_tau"])


def _ranked(runs: pd.DataFrame, compatibility: Compatibility) -> pd.DataFrame:
    """Method, mean and rank of the runs of one setting."""
    mean = runs.groupby("method", sort=True)["value"].mean()
    if compatibility == "nnactive":
        rank = (100 * mean).round(2).rank(ascending=False, method="min")
    else:
        rank = mean.round(_DIGITS).rank(ascending=False)
    return mean.rename("mean").to_frame().assign(rank=rank).reset_index()


def _settings(frame: pd.DataFrame) -> Iterator[tuple[Any, Any, pd.DataFrame]]:
    for (measure, setting), of in frame.groupby(["measure", "setting"], sort=True, observed=True):
        yield measure, setting, of


def _check(frame: pd.DataFrame, compatibility: Compatibility) -> None:
    if compatibility not in (None, "nnactive"):
        raise ValueError(f"compatibility must be None or 'nnactive', not {compatibility!r}.")
    absent = [column for column in (*_KEYS, "value") if column not in frame.columns]
    if absent:
        raise ValueError(f"the table of runs lacks the columns {absent}.")
    if frame.empty:
        raise ValueError("the table of runs is empty: there is nothing to rank.")
    if frame[_KEYS].isna().to_numpy().any():
        raise ValueError("the table of runs has empty entries.")
    if frame["value"].dtype.kind not in "biuf" or not np.isfinite(frame["value"].to_numpy()).all():
        raise ValueError("'value' must hold finite numbers.")
    repeated = frame.duplicated(_KEYS).to_numpy()
    if repeated.any():
        raise ValueError(f"repeated row: {frame.loc[repeated, _KEYS].iloc[0].to_dict()}.")
    for measure, of_measure in frame.groupby("measure", sort=True):
        methods = set(of_measure["method"])
        for (setting, seed), of in of_measure.groupby(["setting", "seed"], sort=True):
            lacking = sorted(methods - set(of["method"]), key=str)
            if lacking:
                raise ValueError(f"{lacking} have no {measure!r} in the setting {setting!r} with seed {seed}.")

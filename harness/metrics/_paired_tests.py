"""Paired t-tests between all methods at every budget: the statistics behind the pairwise penalty."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.metrics._checks import FloatArray

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-12  # performance lies in [0, 1]: smaller differences are rounding errors


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table of learning curves."""

    method: str
    budget: str
    seed: str
    value: str


def curve_blocks(frame: pd.DataFrame, columns: Columns, *, by_seed: bool) -> tuple[list[Any], list[FloatArray]]:
    """Methods by name, and per budget their performance (methods, seeds) with one run's partners in one column.

    Partners share their seed, or with `by_seed` False merely their place among the rows of their method.
    """
    _check_table(frame, columns, by_seed)
    methods = sorted(frame[columns.method].unique(), key=str)
    blocks = []
    for budget, of in frame.groupby(columns.budget, sort=True):
        runs = dict(list(of.groupby(columns.method)))
        absent = [name for name in methods if name not in runs]
        if absent:
            raise ValueError(f"no run of the methods {absent} at the budget {budget!r}.")
        if by_seed:
            runs = {name: run.sort_values(columns.seed) for name, run in runs.items()}
            seeds = {name: run[columns.seed].tolist() for name, run in runs.items()}
        else:
            seeds = {name: list(range(len(run))) for name, run in runs.items()}
        odd = [name for name in methods if seeds[name] != seeds[methods[0]]]
        if odd:
            raise ValueError(f"at the budget {budget!r}, {odd[0]!r} does not have the seeds of {methods[0]!r}.")
        if len(seeds[methods[0]]) < 2:
            raise ValueError(f"a paired test needs two seeds, there is one at the budget {budget!r}.")
        blocks.append(np.array([runs[name][columns.value].to_numpy(dtype=np.float64) for name in methods]))
    return methods, blocks


def paired_t_tests(blocks: list[FloatArray]) -> tuple[list[tuple[int, int]], FloatArray, FloatArray]:
    """All pairs of methods, and their mean differences and two-sided p-values: (pairs, budgets) each.

    Without any variance over seeds the t statistic is 0/0 or infinite. Then p is 1 if the methods are equal (up to
    rounding) and 0 if they differ by the same amount for every seed: the limits of the test.
    """
    pairs = list(combinations(range(len(blocks[0])), 2))
    means, p_values = np.zeros((len(pairs), len(blocks))), np.ones((len(pairs), len(blocks)))
    if pairs:
        first, second = np.array(pairs).T
        for place, values in enumerate(blocks):
            difference = values[first] - values[second]
            means[:, place] = difference.mean(axis=1)
            p_values[:, place] = _p_values(difference)
    return pairs, means, p_values


def _p_values(difference: FloatArray) -> FloatArray:
    """(pairs, seeds) → (pairs,)."""
    from scipy.stats import ttest_1samp

    constant = np.ptp(difference, axis=1) <= _ROUNDING
    equal = constant & (np.abs(difference).max(axis=1) <= _ROUNDING)
    p_values = np.where(equal, 1.0, 0.0)
    if not constant.all():
        p_values[~constant] = ttest_1samp(difference[~constant], 0.0, axis=1).pvalue
    return p_values


def _check_table(frame: pd.DataFrame, columns: Columns, by_seed: bool) -> None:
    names = [columns.method, columns.budget, columns.seed, columns.value]
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise ValueError(f"the table of curves lacks the columns {absent}.")
    if frame.empty:
        raise ValueError("the table of curves is empty.")
    if frame[names].isna().to_numpy().any():
        raise ValueError("the table of curves has empty entries.")
    values: NDArray[Any] = frame[columns.value].to_numpy()
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(f"{columns.value!r} must hold finite numbers.")
    keys = names[:3]
    repeated = frame.duplicated(keys).to_numpy()
    if by_seed and repeated.any():
        raise ValueError(f"repeated row: {frame.loc[repeated, keys].iloc[0].to_dict()}.")

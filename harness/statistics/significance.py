"""Tests: are ranks more consistent than chance, and which methods differ?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.statistics.agreement import concordance, rank_matrix
from harness.statistics.criteria import metric_ranks

if TYPE_CHECKING:
    import pandas as pd

_CHANCE_SIZE = 1000


def random_agreement(frame: pd.DataFrame, *, cell: str | Sequence[str], alpha: float = 0.1) -> pd.DataFrame:
    """Do the metrics of a criterion agree on a method better than random ranks would, cell by cell?

    Input and errors as for `criterion_ranks`; `alpha` in (0, 1). In every cell alone, the ranks of a method
    over a criterion's metrics are compared with random ranks by Levene's test, centred at the median.
    Result: method, criterion, the cell columns, variance (population), p_value, consistent (p < alpha and
    the variance is at most that of random ranks, (methods² - 1) / 12). The mean of `consistent` is the
    share of cases in which metrics agree. NaN and False for less than two metrics.

    Random ranks are represented by every rank equally often, about a thousand in all, rather than by one
    small draw, whose luck would decide: the result has no seed. Klein et al. 2024 (LATEC); Brown & Forsythe
    1974, "Robust Tests for the Equality of Variances", JASA.
    """
    import pandas as pd

    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}.")
    cells = [cell] if isinstance(cell, str) else list(cell)
    metric_ranks(frame, cell=cells)  # refuses what is wrong in the table as a whole
    rows = []
    for name, of in frame.groupby(cells, sort=True, observed=True) if cells else [((), frame)]:
        place = name if isinstance(name, tuple) else (name,)
        for criterion, ranks in metric_ranks(of, cell=cells).groupby("criterion", sort=True):
            table = rank_matrix(ranks)
            for method, own in zip(table.index, table.to_numpy(), strict=True):
                rows.append((method, criterion, *place, *_levene(own, len(table), alpha)))
    return pd.DataFrame(rows, columns=["method", "criterion", *cells, "variance", "p_value", "consistent"])


def pairwise_tests(ranks: pd.DataFrame, *, test: str = "nemenyi") -> pd.DataFrame:
    """Friedman's test per criterion, and which pairs of methods differ after correction.

    `ranks` as from `metric_ranks`; the metrics are the blocks, so the p-values take them as independent.
    `test`: "nemenyi", or "wilcoxon" (signed ranks of the two methods' ranks, Holm-corrected,
    exact with ties and therefore slow: about 0.05 s a pair). Result:
    criterion, method_a, method_b (by name), friedman_p (the same for all pairs of a criterion), p_value.
    Criteria with less than three methods or two metrics have no rows. ValueError for another test and for
    repeated or missing ranks; ModuleNotFoundError without scikit-posthocs. Demšar 2006, "Statistical
    Comparisons of Classifiers over Multiple Data Sets", JMLR.
    """
    import pandas as pd

    if test not in ("nemenyi", "wilcoxon"):
        raise ValueError(f"test must be 'nemenyi' or 'wilcoxon', not {test!r}.")
    posthocs = _posthocs()
    rows = []
    for criterion, of in ranks.groupby("criterion", sort=True):
        table = rank_matrix(of)
        if len(table) < 3 or table.shape[1] < 2:
            continue
        if test == "nemenyi":
            p_values = posthocs.posthoc_nemenyi_friedman(table.to_numpy().T).to_numpy()
        else:
            # zsplit shares zero differences between the signs: two methods with equal ranks are no error.
            p_values = posthocs.posthoc_wilcoxon(table.to_numpy(), zero_method="zsplit", p_adjust="holm").to_numpy()
        _, overall = concordance(table)
        for (a, method_a), (b, method_b) in combinations(enumerate(table.index), 2):
            rows.append((criterion, method_a, method_b, overall, float(p_values[a, b])))
    return pd.DataFrame(rows, columns=["criterion", "method_a", "method_b", "friedman_p", "p_value"])


def nemenyi_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Smallest difference of two methods' mean ranks over the blocks that Nemenyi's test calls significant.

    What `pairwise_tests` decides pair by pair, as one number, so that resamples of the blocks need no tests. Infinite
    for less than three methods or two blocks. Demšar 2006.
    """
    from scipy.stats import studentized_range

    if methods < 3 or blocks < 2:
        return float("inf")
    quantile = float(studentized_range.isf(alpha, methods, np.inf))
    return quantile * math.sqrt(methods * (methods + 1) / (12 * blocks))


def _levene(own: Any, methods: int, alpha: float) -> tuple[float, float, bool]:
    from scipy.stats import levene

    if len(own) < 2 or methods < 2:
        return float(np.var(own)), np.nan, False
    every_rank = np.arange(1, methods + 1)
    chance = np.tile(every_rank, -(-_CHANCE_SIZE // methods))
    variance, p_value = float(np.var(own)), float(levene(own, chance, center="median")[1])
    return variance, p_value, bool(p_value < alpha and variance <= np.var(every_rank))


def _posthocs() -> Any:
    try:
        return import_module("scikit_posthocs")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pairwise tests need scikit-posthocs: pip install scikit-posthocs.") from error

"""What a learning curve over annotation budgets is worth, and which query method beats which.

Performance (Dice, accuracy) lies in [0, 1] and higher is better; a curve has one value per loop, from the starting
budget on. Lüth et al. 2023, "Navigating the Pitfalls of Active Learning Evaluation" (realistic-al); nnActive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.metrics._checks import FloatArray, numeric
from harness.metrics._foreground_efficiency import (
    Curves,
    EfficiencyFit,
    EfficiencyInterval,
    efficiency_replicates,
    foreground_efficiency,
    foreground_efficiency_fit,
    foreground_efficiency_interval,
)
from harness.metrics._paired_tests import Columns, curve_blocks, paired_t_tests
from harness.statistics.settings import holm

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Curves",
    "EfficiencyFit",
    "EfficiencyInterval",
    "aubc",
    "efficiency_replicates",
    "final_performance",
    "foreground_efficiency",
    "foreground_efficiency_fit",
    "foreground_efficiency_interval",
    "mean_penalty",
    "pairwise_penalty",
    "share_lost",
]


def aubc(performance: ArrayLike) -> float | FloatArray:
    r"""Area under the budget curve: its mean height, by trapezoids between equally spaced loops.

    $$ \mathrm{AUBC} = \frac{1}{L - 1} \sum_{l=1}^{L-1} \frac{a_l + a_{l+1}}{2} $$

    $a_l$: performance after loop $l$ of $L$.

    Of performance (..., loops): a float for a single curve, an array (...) otherwise. Higher is better; in [0, 1] for
    performance in [0, 1]; a constant curve has its own value. The budgets themselves do not enter. ValueError for empty or non-finite input and for
    less than two loops. Zhan et al. 2021, "A Comparative Survey: Benchmarking for Pool-based Active Learning".
    """
    curve = _curve(performance)
    if curve.shape[-1] < 2:
        raise ValueError("an area under the budget curve needs at least two loops.")
    area = ((curve[..., 1:] + curve[..., :-1]) / 2).mean(axis=-1)
    return area if curve.ndim > 1 else float(area)


def final_performance(performance: ArrayLike) -> float | FloatArray:
    r"""Performance after the last loop, of (..., loops), as a float or an array (...).

    $$ a_L $$

    $a_L$: performance after loop $L$, the last. Higher is better; in [0, 1] for performance in [0, 1]. ValueError for empty or non-finite input.
    """
    curve = _curve(performance)
    return curve[..., -1].copy() if curve.ndim > 1 else float(curve[-1])


def pairwise_penalty(
    frame: pd.DataFrame,
    *,
    method: str = "method",
    budget: str = "budget",
    seed: str = "seed",
    value: str = "value",
    alpha: float = 0.05,
    correction: Literal["holm"] | None = None,
    pairing: Literal["seed", "nnactive"] = "seed",
) -> pd.DataFrame:
    r"""Share of the budgets at which the row's method is significantly better than the column's.

    $$ \frac{1}{B} \sum_{b=1}^{B} [d_b > 0][p_b < \alpha] $$

    $B$ budgets; $d_b$: mean over seeds of the row's value minus the column's at budget $b$; $p_b$: its p-value.

    `frame` has one row per run and budget, in columns of these names; higher values are better. Two methods are
    compared at every budget by a two-sided paired t-test over seeds at level `alpha`, uncorrected or by Holm's
    correction over all pairs and budgets of the table. Equal runs are never significant; a difference that is the
    same for every seed always is, although it has no t statistic. Result: methods × methods by name, in [0, 1],
    0 on the diagonal; an entry and its mirror sum to at most 1.

    Runs are partners if they have the same seed. "nnactive" pairs, as the published code, the k-th row of one method
    with the k-th of the other, whatever their seeds. ValueError for absent columns, empty or non-finite entries,
    repeated rows, methods with different budgets or seeds, less than two seeds and unknown options.

    Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds" (BADGE). The files of
    nnActive hold the transpose.
    """
    import pandas as pd

    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}.")
    if correction not in (None, "holm"):
        raise ValueError(f"correction must be None or 'holm', not {correction!r}.")
    if pairing not in ("seed", "nnactive"):
        raise ValueError(f"pairing must be 'seed' or 'nnactive', not {pairing!r}.")
    methods, blocks = curve_blocks(frame, Columns(method, budget, seed, value), by_seed=pairing == "seed")
    pairs, differences, p_values = paired_t_tests(blocks)
    significant = (p_values if correction is None else holm(p_values)) < alpha
    penalty = np.zeros((len(methods), len(methods)))
    for (a, b), difference, is_significant in zip(pairs, differences, significant, strict=True):
        penalty[a, b] = np.mean(is_significant & (difference > 0))
        penalty[b, a] = np.mean(is_significant & (difference < 0))
    return pd.DataFrame(penalty, index=methods, columns=methods)


def mean_penalty(penalties: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Mean of the pairwise penalties of several settings, which must have the same methods.

    ValueError for no setting and for different methods.
    """
    tables = list(penalties)
    if not tables:
        raise ValueError("there is no pairwise penalty to average.")
    for table in tables:
        if list(table.index) != list(tables[0].index):
            raise ValueError("the settings do not have the same methods.")
    total = tables[0].copy()
    for table in tables[1:]:
        total += table
    return total / len(tables)


def share_lost(penalty: pd.DataFrame) -> pd.Series[float]:
    """How often each method is beaten: the mean of its column of pairwise penalties over its rivals.

    In [0, 1], lower is better. ValueError for less than two methods. Ash et al. 2020.
    """
    if len(penalty) < 2:
        raise ValueError("a method without rivals cannot lose.")
    return penalty.sum(axis=0) / (len(penalty) - 1)


def _curve(performance: ArrayLike) -> FloatArray:
    curve = numeric("performance", performance)
    if curve.ndim == 0:
        raise ValueError("performance must have a dimension of loops, got a single number.")
    return curve.astype(np.float64)

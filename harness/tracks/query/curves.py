"""Budget curves as the entries of a board hold them, and who beats whom along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness.metrics.budget_curve import mean_penalty, pairwise_penalty
from harness.tracks.leaderboard import Entry

if TYPE_CHECKING:
    import pandas as pd

CURVES, FOREGROUND, BUDGETS, EFFICIENCY = "_curves.", "_foreground.", "_budgets.", "_efficiency."
"""Arrays of an entry by study, beside its columns: performance (seeds, loops) and annotated share of the foreground
(seeds, loops) with seeds in ascending order, annotated patches or images (loops,), and efficiency (1,)."""
PERFORMANCE = {"dice": "mean Dice", "accuracy": "accuracy", "balanced-accuracy": "balanced accuracy"}


def penalties(entries: Sequence[Entry], correction: Literal["holm"] | None = None) -> pd.DataFrame:
    """Share of budgets at which the row's method is significantly better than the column's, mean over studies.

    Of the methods that have all curves, references included; see `harness.metrics.budget_curve.pairwise_penalty`.
    ValueError for less than two seeds and for no curves.
    """
    frame = curve_table(entries)
    return mean_penalty(
        pairwise_penalty(of, budget="loop", value="performance", correction=correction)
        for _, of in frame.groupby("study", sort=True)
    )


def curve_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Curves of all entries that have the curves of every study, one row per method, study, seed and loop.

    Columns: method, study, seed (counted from 0), loop, performance.
    """
    import numpy as np
    import pandas as pd

    studies = {name for each in entries for name in each.arrays if name.startswith(CURVES)}
    columns = ["method", "study", "seed", "loop", "performance"]
    tables = [pd.DataFrame(columns=columns)] if not studies else []
    for each in entries:
        for name in sorted(studies) if studies <= set(each.arrays) else []:
            values = each.arrays[name]
            seed, loop = np.indices(values.shape)
            where = {"method": each.method.name, "study": name.removeprefix(CURVES)}
            rows = {"seed": seed.ravel(), "loop": loop.ravel(), "performance": values.ravel()}
            tables.append(pd.DataFrame({**where, **rows}, columns=columns))
    return pd.concat(tables, ignore_index=True)

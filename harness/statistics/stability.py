"""How much do ranks depend on a single metric or a single cell?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.statistics.agreement import kendall_tau
from harness.statistics.criteria import metric_ranks

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["criterion", "part", "left_out", "methods", "tau", "mean_shift", "max_shift", "moved_most"]


def stability(
    frame: pd.DataFrame, *, cell: str | Sequence[str], reference: Sequence[str] | None = None
) -> pd.DataFrame:
    """Rank again without each metric and without each cell, and compare the mean ranks with the full ones.

    Input and errors as for `criterion_ranks`. One row per criterion and part left out: part ("metric" or
    "cell"), left_out (the metric, or the tuple of the cell), methods (ranked with and without), tau
    (Kendall's tau-b between the two orders; 1: nobody is overtaken), mean_shift and max_shift (absolute
    change of the mean rank, over methods), moved_most (the method that moves furthest, the first by name
    if several). Without its only metric or cell a criterion has nothing to compare: NaN.

    Parts are left out for the methods that are complete on all of the scores; a method that is incomplete
    only in the left-out part does not come in.
    """
    import pandas as pd

    full = metric_ranks(frame, cell=cell, reference=reference)
    whole = _mean_ranks(full)
    rows = []
    for criterion, before in whole.items():
        of = full[full["criterion"] == criterion]
        for metric in sorted(of["metric"].unique(), key=str):
            after = of[of["metric"] != metric].groupby("method")["rank"].mean()
            rows.append((criterion, "metric", metric, *_compare(before, after)))
    for left_out, rest in _without_each_cell(frame, [cell] if isinstance(cell, str) else list(cell)):
        partial = _mean_ranks(_only_ranked(rest, full, cell, reference)) if len(rest) else {}
        nothing = pd.Series(dtype=float)
        for criterion, before in whole.items():
            rows.append((criterion, "cell", left_out, *_compare(before, partial.get(criterion, nothing))))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _mean_ranks(ranks: pd.DataFrame) -> dict[Hashable, pd.Series[float]]:
    return {criterion: of.groupby("method")["rank"].mean() for criterion, of in ranks.groupby("criterion", sort=True)}


def _only_ranked(
    frame: pd.DataFrame, full: pd.DataFrame, cell: str | Sequence[str], reference: Sequence[str] | None
) -> pd.DataFrame:
    """Metric ranks of the scores in `frame`, with the same methods in each criterion as in `full`."""
    import pandas as pd

    tables = []
    for criterion, of in full.groupby("criterion", sort=True):
        methods = set(of["method"])
        kept = frame[(frame["criterion"] == criterion) & frame["method"].isin(methods)]
        pool = None if reference is None else [name for name in reference if name in set(kept["method"])]
        if len(kept) and pool != []:
            tables.append(metric_ranks(kept, cell=cell, reference=pool))
    return pd.concat(tables) if tables else full.iloc[:0]


def _without_each_cell(frame: pd.DataFrame, cells: list[str]) -> Iterator[tuple[tuple[Hashable, ...], pd.DataFrame]]:
    if not cells:
        yield (), frame.iloc[:0]
        return
    frame = frame.reset_index(drop=True)
    for left_out, rows in frame.groupby(cells, sort=True, observed=True):
        yield left_out if isinstance(left_out, tuple) else (left_out,), frame.drop(index=rows.index)


def _compare(before: pd.Series[float], after: pd.Series[float]) -> tuple[int, float, float, float, object]:
    both = before.index.intersection(after.index)
    if both.empty:
        return 0, np.nan, np.nan, np.nan, None
    shift = (after[both] - before[both]).abs()
    tau, _ = kendall_tau(before[both], after[both])
    return len(both), tau, float(shift.mean()), float(shift.max()), shift.idxmax()

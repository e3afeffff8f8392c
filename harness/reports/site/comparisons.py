"""Who can be told apart on a board: paired differences of every two rows, and a critical-difference diagram.

Both need the stored outputs of all rows; a board alone holds no draws.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.boards.build import Standings, read_standings
from harness.boards.compare import JOINED, Difference, all_differences
from harness.boards.entries import leaderboard_of
from harness.data.catalog import LoadedBenchmark
from harness.execution.needs import Datasets, require_data
from harness.reports.site.text import inline_svg
from harness.spec.board import Board
from harness.spec.errors import UsageError

_STYLE: dict[Any, Any] = {"svg.hashsalt": "harness", "svg.fonttype": "none", "font.size": 9}
_LINE = 0.12  # inches
_DIGITS = 4


@dataclass(frozen=True)
class Compared:
    """data: what the page's script reads. alike: ranked method -> those that it cannot be told apart from, in the column
    that orders the board. diagram: SVG; empty where fewer than three methods are ranked. note: where the numbers that
    differ are not those that the board shows, why."""

    data: dict[str, Any]
    alike: dict[str, tuple[str, ...]]
    diagram: str
    note: str


def compare_rows(protocol: LoadedBenchmark, board: Board, datasets: Datasets | None = None) -> Compared | str:
    """The rows of a board, or why they cannot be compared: their outputs cannot be scored here, or are of another day."""
    try:
        require_data(protocol, datasets)
        standings = read_standings(protocol)
    except UsageError as error:
        return str(error)
    if {each.method.name for each in standings.entries} != {row.method for row in board.rows}:
        return f"the board is not that of the submissions beside it; run: harness board build {board.benchmark}"
    return _compared(protocol, board, standings)


def _compared(protocol: LoadedBenchmark, board: Board, standings: Standings) -> Compared:
    leaderboard = leaderboard_of(protocol)
    columns = leaderboard.compared(standings.entries)
    last = columns[board.columns[-1]]
    differences = all_differences(leaderboard.shows, columns)
    data = {
        "columns": list(board.columns),
        "pairs": {f"{a}|{b}": _packed(found, board.columns) for (a, b), found in differences.items()},
    }
    waiting = {row.method for row in board.rows if row.cells.get(board.columns[-1]) is None}
    ranked = [row.method for row in board.rows if not (row.reference or row.waits or row.method in waiting)]
    alike = {name: tuple(each for each in last.tied(name) if each in ranked) for name in ranked}
    draws = {name: last.draws[name] for name in ranked}
    diagram = _diagram(_mean_ranks(draws, board.lower_is_better), alike) if len(ranked) > 2 else ""
    return Compared(data, alike, diagram, JOINED if any(any(each.shown.values()) for each in columns.values()) else "")


def _packed(found: tuple[Difference, ...], columns: tuple[str, ...]) -> list[list[float | str] | None]:
    """By column: the difference A - B, its interval, and who is better."""
    by_column = {each.column: each for each in found}
    return [
        [*(float(f"{n:.{_DIGITS}g}") for n in (each.difference, each.low, each.high)), each.better]
        if (each := by_column.get(column))
        else None
        for column in columns
    ]


def _mean_ranks(draws: Mapping[str, Any], lower_is_better: bool) -> dict[str, float]:
    """Method -> its rank, averaged over the resamples that give every method a score; ties share theirs."""
    import numpy as np
    from scipy.stats import rankdata

    scores = np.stack([each[1:] for each in draws.values()], axis=1)
    scores = scores[~np.isnan(scores).any(axis=1)]
    ranks = rankdata(scores if lower_is_better else -scores, axis=1).mean(axis=0)
    return dict(zip(draws, ranks.tolist(), strict=True))


def _diagram(ranks: Mapping[str, float], alike: Mapping[str, tuple[str, ...]]) -> str:
    """Mean ranks on a line; a bar joins neighbours of which no two can be told apart by their paired difference.

    Layout of Demšar 2006, drawn by scikit-posthocs. Colours are those of the text around it.
    """
    import pandas as pd
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from scikit_posthocs import critical_difference_diagram

    names = sorted(ranks, key=lambda name: (ranks[name], name))
    joined = pd.DataFrame(0.0, index=names, columns=names)
    for start in range(len(names)):
        for end in range(start, len(names)):
            if any(each not in alike[names[end]] for each in names[start:end]):
                break
            joined.iloc[start, end] = joined.iloc[end, start] = 1.0
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 1.2 + _LINE * len(names)), layout="constrained")
        critical_difference_diagram(
            pd.Series(ranks)[names],
            joined,
            ax=figure.add_subplot(),
            label_fmt_left="{label} ({rank:.1f})",
            label_fmt_right="({rank:.1f}) {label}",
            color_palette=dict.fromkeys(names, "#000000"),
            elbow_props={"linewidth": 0.6},
            marker_props={"s": 16},
            crossbar_props={"linewidth": 2.5},
        )
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
        return inline_svg(stream.getvalue())

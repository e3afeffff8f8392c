"""A board of one's own runs as one self-contained HTML page."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

from harness.boards.build import write_board
from harness.boards.entries import leaderboard_of
from harness.boards.local import LocalBoard
from harness.boards.render import (
    all_tiers_note,
    competitors_first,
    cost_text,
    direction,
    group_letter,
    is_run,
    scaled_title,
    tier_text,
    units_text,
)
from harness.data.catalog import LoadedBenchmark
from harness.metrics.facts import board_text
from harness.reports.page import fill_page
from harness.reports.run_report import REPORT
from harness.spec.board import Board, Row
from harness.storage import write_text
from harness.tracks.views import Chart, Key, Numbers, View, columns_of

PAGE = "board.html"


def write_local_board(local: LocalBoard, protocol: LoadedBenchmark, out: Path) -> tuple[str, ...]:
    """Write the page, the files of official boards and, of kinds that have one, the picture into a folder. Returns their
    paths, the page's first."""
    out.mkdir(parents=True, exist_ok=True)
    runs = os.path.relpath(local.runs, out)
    written = write_board(local.board, protocol, out, Path(runs).as_posix())
    picture = leaderboard_of(protocol).picture(local.standings.entries)
    if picture is not None:
        write_text(out / picture[0], picture[1])
        written = (*written, str(out / picture[0]))
    names = [Path(path).name for path in written]
    write_text(out / PAGE, _page(local, protocol, runs, names, picture[1] if picture else ""))
    return (str(out / PAGE), *written)


def _page(local: LocalBoard, protocol: LoadedBenchmark, runs: str, files: list[str], picture: str) -> str:
    board = local.board
    return fill_page(
        "local_board.html",
        views=list(_views(board)),
        board=board,
        benchmark=protocol.benchmark,
        title=scaled_title(board),
        direction=direction(board),
        note=all_tiers_note(board, protocol.benchmark.ranked_tier),
        columns=_columns(board),
        rows=competitors_first(board),
        runs=local.runs,
        others=local.others,
        mixed=protocol.bundled,
        files=files,
        picture=base64.b64encode(picture.encode()).decode("ascii"),
        number=lambda value: board_text(board.metric, value),
        letter=group_letter,
        cost=cost_text,
        tier=tier_text,
        units=units_text,
        report=lambda row: _report(local.runs, runs, row),
    )


def _report(runs: Path, way: str, row: Row) -> str:
    """The way from the page to the report of a row's run; empty where there is none."""
    return (
        f"{Path(way).as_posix()}/{row.folder}/{REPORT}" if row.folder and (runs / row.folder / REPORT).is_file() else ""
    )


def _columns(board: Board) -> tuple[str, ...]:
    """The one that orders the board first."""
    return (board.columns[-1], *board.columns[:-1])


def _views(board: Board) -> Iterator[View]:
    if board.rows:
        yield _intervals(board)
    for each in board.tables:
        rows = tuple((row.method, *(_cut(value, each.digits) for value in row.values)) for row in each.rows)
        yield Numbers(each.title, each.text.replace("*", ""), ("method", *each.columns), rows)


def _cut(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _intervals(board: Board) -> Chart:
    """Every score with its interval, best first in the column that orders the board."""
    names = [row.method for row in competitors_first(board)]
    rows = [
        {
            "column": column,
            "method": row.method,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "row": "reference row" if row.reference else "your run" if is_run(row) else "row of the board",
        }
        for column in _columns(board)
        for row in board.rows
        if (cell := row.cells.get(column)) is not None
    ]
    kinds = {"your run": "var(--own)", "row of the board": "var(--other)", "reference row": "var(--simplest)"}
    used = [kind for kind in kinds if any(row["row"] == kind for row in rows)]
    return Chart(
        "Scores and their intervals",
        f"{scaled_title(board)}, {direction(board)}; lines are 95 % intervals. Rows in the order of the board.",
        columns_of(rows),
        (
            {"mark": "ruleY", "x1": "low", "x2": "high", "y": "method", "stroke": "row", "strokeWidth": 2},
            {"mark": "dot", "x": "value", "y": "method", "fill": "row", "r": 4.5, "tip": True},
        ),
        {
            "x": {"label": scaled_title(board), "nice": True},
            "y": {"domain": names, "label": None},
            "color": {"domain": used, "range": [kinds[kind] for kind in used]},
            "marginLeft": 24 + 6 * max(map(len, names)),
            "height": 60 + 22 * len(names),
        },
        panel="column",
        keys=tuple(Key(kind, kinds[kind]) for kind in used) if len(used) > 1 else (),
    )

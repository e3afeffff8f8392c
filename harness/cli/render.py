"""Tables for the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from harness.boards.render import group_letter, rank_text, scaled_title, spread_text
from harness.execution.run_result import RunResult
from harness.metrics.facts import metric_facts
from harness.spec.board import Board, Cell
from harness.spec.result import Summary, UnitResult
from harness.tracks.registry import KINDS

if TYPE_CHECKING:
    from harness.boards.place import Place
    from harness.spec.benchmark import Benchmark


def print_result(
    result: RunResult, place: tuple[Place, ...] | str, report: Path | None = None, next_step: str | None = None
) -> None:
    """Study × metric with intervals, the place, what failed, and what to do next.

    next_step: the command to go on with, where the protocol names another benchmark.
    """
    console = Console(highlight=False)
    if any(unit.status == "ok" for unit in result.document.units):
        console.print(_score_table(result))
        _print_place(console, place)
    else:
        console.print("No unit has scores.")
    _print_reasons(console, result)
    console.print(f"\nRun:    {result.folder}", markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}", markup=False, soft_wrap=True)
    if result.failed:
        console.print("Next:   mend the method and run the same command again; only units without scores are tried.")
    elif result.document.spec.limit is None:
        console.print(f"Next:   harness show {result.folder}   (scores of every unit)", soft_wrap=True)
    else:
        console.print("Next:   run it again without --limit for scores that count.")
    if next_step is not None and result.complete:
        console.print(f"Then:   {next_step}", markup=False, soft_wrap=True)


def print_json_result(result: RunResult, place: tuple[Place, ...] | str) -> None:
    """The sealed document, its folder and the place, as one JSON object."""
    shown = place if isinstance(place, str) else [asdict(each) for each in place]
    print(json.dumps({"run": result.document.canonical(), "folder": str(result.folder), "place": shown}, indent=2))


def print_units(result: RunResult) -> None:
    """The first metric of every unit: studies by models. All metrics are in `--json` and `to_frame()`."""
    document = result.document
    models = list(dict.fromkeys(unit.model for unit in document.units))
    facts = metric_facts()
    names = [record.metric for unit in document.units for record in unit.records]
    metric = next((name for name in names if facts[name].lower_is_better is not None), "")
    table = Table(
        title=f"{facts[metric].heading if metric else 'status'} of every unit", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("study")
    for model in models:
        table.add_column(model, justify="right")
    cells: dict[str, dict[str, str]] = {}
    for unit in document.units:
        values = [record.value for record in unit.records if record.metric == metric]
        cells.setdefault(unit.study, {})[unit.model] = facts[metric].text(values[0]) if values else unit.status
    for study, by_model in cells.items():
        table.add_row(study, *(by_model.get(model, "") for model in models))
    Console(highlight=False).print(table)


def print_board(board: Board, benchmark: Benchmark) -> None:
    """A board as a table."""
    arrow = "↓" if board.lower_is_better else "↑"
    title = f"{benchmark.title} ({board.benchmark}): {scaled_title(board)} {arrow}"
    table = Table(
        title=title,
        caption="behind each score: rank and group; in brackets the 95 % interval of the rank",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("rank", justify="right")
    table.add_column("method", no_wrap=True)
    for column in board.columns:
        table.add_column(column, justify="right")
    for row in sorted(board.rows, key=lambda row: row.reference):
        cells = [_board_cell(row.cells.get(column), _short_rank) for column in board.columns[:-1]]
        last = row.cells.get(board.columns[-1])
        rank = "" if last is None or last.rank is None else str(last.rank)
        cells.append(_board_cell(last, rank_text))
        table.add_row(rank, row.method, *cells, style="italic" if row.reference else "")
    console = Console(highlight=False)
    console.print(table)
    for each in board.unranked:
        console.print(f"not ranked: {each.method}: {each.reason}", markup=False)


def _board_cell(cell: Cell | None, text: Callable[[Cell], str]) -> str:
    return "–" if cell is None else f"{cell.value:.1f}{spread_text(cell)} [dim]{text(cell)}[/]"


def _short_rank(cell: Cell) -> str:
    return "" if cell.rank is None or cell.group is None else f"{cell.rank}{group_letter(cell.group)}"


def _score_table(result: RunResult) -> Table:
    """One column per group of studies (severities are averaged), one row per metric: fits 80 characters."""
    document = result.document
    columns: dict[str, dict[str, Summary]] = {}
    for row in document.summary:
        if row.part_of is None:
            columns.setdefault(row.study, {})[row.metric] = row
    table = Table(
        title=f"{document.spec.method.name} {document.spec.method.version} on {document.spec.benchmark}",
        caption=KINDS[document.spec.task].caption,
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    for study in columns:
        table.add_column(study, justify="right")
    extents = [next(iter(cells.values())) for cells in columns.values()]
    table.add_row("samples", *(str(row.n // max(row.seeds, 1)) for row in extents))
    for name in dict.fromkeys(row.metric for row in document.summary):
        cells = [column.get(name) for column in columns.values()]
        table.add_row(metric_facts()[name].heading, *("–" if cell is None else _cell(cell) for cell in cells))
    return table


def _print_reasons(console: Console, result: RunResult) -> None:
    """Why units have no scores; a reason that many share is said once."""
    reasons: dict[tuple[str, str], list[UnitResult]] = {}
    for unit in result.document.units:
        if unit.status != "ok":
            reasons.setdefault((unit.status, unit.reason), []).append(unit)
    for (status, reason), units in reasons.items():
        where = f"{units[0].study} · {units[0].model}"
        if len(units) > 1:
            where = f"{len(units)} of {len(result.document.units)} units ({where}, …)"
        console.print("[dim]–[/] " if status == "not-applicable" else "[red]✗[/] ", end="")
        console.print(f"{where}: {status}: {reason}", markup=False)


def _cell(row: Summary) -> str:
    text = metric_facts()[row.metric].text
    if row.value is None or row.low is None or row.high is None:
        return text(row.value)
    return f"{text(row.value)}\n[dim]{text(row.low)}–{text(row.high)}[/]"


def _print_place(console: Console, place: tuple[Place, ...] | str) -> None:
    if isinstance(place, str):
        console.print(f"No place on the board: {place}.", markup=False)
        return
    best = place[-1]
    console.print(
        f"\nPlace [bold]{best.rank}[/] of {best.of} by {best.column} {best.title} "
        f"(95 % interval {best.rank_low}–{best.rank_high})" + _tied(best.tied_with)
    )
    console.print("  " + ", ".join(f"{each.column} {each.rank}" for each in place[:-1]), style="dim")


def _tied(names: tuple[str, ...], most: int = 4) -> str:
    if not names:
        return ", told apart from all others."
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f", not told apart from {', '.join(names[:most])}{more}."

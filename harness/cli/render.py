"""Tables for the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.execution.run_result import OVER_SEEDS, RunResult
from harness.metrics.registry import METRICS
from harness.spec.board import Board
from harness.spec.result import Summary

if TYPE_CHECKING:
    from harness.boards.place import Place
    from harness.spec.benchmark import Benchmark

_PERCENT = {
    "failure_rate",
    "failure_auroc",
    "fpr_at_tpr",
    "failure_ap",
    "ece",
    "mce",
    "adaptive_ece",
    "coverage_at_risk",
}


def print_result(result: RunResult, place: tuple[Place, ...] | str, report: Path | None = None) -> None:
    """Study × metric with intervals, the place, what failed, and what to do next."""
    console = Console(highlight=False)
    console.print(_score_table(result))
    _print_place(console, place)
    for unit in result.failed:
        console.print(f"[red]✗[/] {unit.study} · {unit.model}: ", end="")
        console.print(f"{unit.status}: {unit.reason}", markup=False)
    unserved = [unit for unit in result.document.units if unit.status == "not-applicable"]
    if unserved:
        console.print(f"{len(unserved)} units do not apply: {unserved[0].reason}", markup=False)
    console.print(f"\nRun:    {result.folder}", markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}", markup=False, soft_wrap=True)
    if result.document.spec.submittable:
        console.print(f"Next:   harness show {result.folder}   (scores of every seed and severity)", soft_wrap=True)
    else:
        console.print("Next:   run it again without --limit for scores that count.")


def print_json_result(result: RunResult, place: tuple[Place, ...] | str) -> None:
    """The sealed document, its folder and the place, as one JSON object."""
    shown = place if isinstance(place, str) else [asdict(each) for each in place]
    print(json.dumps({"run": result.document.canonical(), "folder": str(result.folder), "place": shown}, indent=2))


def print_units(result: RunResult) -> None:
    """Every metric of every unit."""
    console = Console(highlight=False)
    names = list(dict.fromkeys(record.metric for unit in result.document.units for record in unit.records))
    table = Table(title=f"{result.document.spec.method.name} on {result.document.spec.benchmark}, each unit")
    for heading in ("study", "model", "n"):
        table.add_column(heading, justify="right" if heading == "n" else "left")
    for name in names:
        table.add_column(_heading(name), justify="right")
    for unit in result.document.units:
        records = {record.metric: record for record in unit.records}
        count = str(next(iter(records.values())).n) if records else ""
        values = [_number(name, records[name].value) if name in records else unit.status for name in names]
        table.add_row(unit.study, unit.model, count, *values)
    console.print(table)


def print_board(board: Board, benchmark: Benchmark) -> None:
    """A board as a table."""
    from harness.boards.render import rank_text

    arrow = "↓" if board.lower_is_better else "↑"
    table = Table(title=f"{benchmark.title} ({board.benchmark}): {board.metric.upper()} × {board.scale:g} {arrow}")
    table.add_column("rank", justify="right")
    table.add_column("method")
    for column in board.columns:
        table.add_column(column, justify="right")
    for row in sorted(board.rows, key=lambda row: row.reference):
        cells = [f"{row.cells[c].value:.1f} [dim]{rank_text(row.cells[c])}[/]" for c in board.columns]
        rank = row.cells[board.columns[-1]].rank
        table.add_row("" if rank is None else str(rank), row.method, *cells, style="italic" if row.reference else "")
    console = Console(highlight=False)
    console.print(table)
    for each in board.unranked:
        console.print(f"not ranked: {each.method}: {each.reason}", markup=False)


def _score_table(result: RunResult) -> Table:
    """One row per group of studies (severities are averaged), one column per metric."""
    document = result.document
    rows: dict[str, dict[str, Summary]] = {}
    for row in document.summary:
        rows.setdefault(row.study, {})[row.metric] = row
    grouped = _without_members(list(rows))
    table = Table(
        title=f"{document.spec.method.name} {document.spec.method.version} on {document.spec.benchmark}",
        caption="mean over seeds, 95 % interval over test samples and seeds; areas × 1000, the rest in %",
    )
    table.add_column("study")
    table.add_column("n", justify="right")
    metrics = list(dict.fromkeys(row.metric for row in document.summary))
    for name in metrics:
        table.add_column(_heading(name), justify="right")
    for study in grouped:
        cells = rows[study]
        table.add_row(
            study, str(max(row.n // row.seeds for row in cells.values())), *(_cell(cells[m]) for m in metrics)
        )
    return table


def _without_members(studies: list[str]) -> list[str]:
    """Leave out `corruption-3` where the mean over all of `corruption` is a row of its own."""
    groups = set(studies)
    return [study for study in studies if study.rsplit("-", 1)[0] not in groups or study.rsplit("-", 1)[0] == study]


def _heading(metric: str) -> str:
    info = METRICS.get(metric)
    arrow = "" if info is None else " ↓" if info.lower_is_better else " ↑"
    return metric.replace("_", " ") + arrow


def _scale(metric: str) -> float:
    return 100.0 if metric in _PERCENT else METRICS[metric].display_scale


def _number(metric: str, value: float | None) -> str:
    return "–" if value is None else f"{value * _scale(metric):.1f}"


def _cell(row: Summary) -> str:
    if row.value is None:
        return "–"
    if row.low is None or row.high is None:
        return _number(row.metric, row.value)
    return f"{_number(row.metric, row.value)} [dim]{_number(row.metric, row.low)}–{_number(row.metric, row.high)}[/]"


def _print_place(console: Console, place: tuple[Place, ...] | str) -> None:
    if isinstance(place, str):
        console.print(f"No place on the board: {place}.", markup=False)
        return
    best = place[-1]
    console.print(
        f"\nPlace [bold]{best.rank}[/] of {best.of} by mean AUGRC "
        f"(95 % interval {best.rank_low}–{best.rank_high})" + _tied(best.tied_with)
    )
    console.print("  " + ", ".join(f"{each.column} {each.rank}" for each in place[:-1]), style="dim")


def _tied(names: tuple[str, ...], most: int = 4) -> str:
    if not names:
        return ", apart from all others."
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f", in one group with {', '.join(names[:most])}{more}."


__all__ = ["OVER_SEEDS", "print_board", "print_json_result", "print_result", "print_units"]

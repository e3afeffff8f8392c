"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.boards.render import group_letter, published_table, rank_text, scaled_title, spread_text
from harness.cli.output import plain_table, print_json
from harness.execution.method_process import PRINTED
from harness.execution.run_result import RunResult
from harness.metrics.facts import metric_facts
from harness.spec.board import Board, Cell
from harness.spec.kinds import kind_of, load
from harness.spec.result import Summary, UnitResult

if TYPE_CHECKING:
    from harness.boards.place import Place
    from harness.spec.benchmark import Benchmark

_TEXT_WIDTH = 100
_GAP, _FRAME = 2, 2  # columns that a table adds behind each of its own, and around them


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
    for note in _notes(result):
        console.print(f"Note: {note}", markup=False)
    console.print(f"\nRun:    {result.folder}", markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}", markup=False, soft_wrap=True)
    if (result.folder / PRINTED).is_dir():
        console.print(f"Output: {result.folder / PRINTED}   (what the method printed)", markup=False, soft_wrap=True)
    if result.failed:
        console.print("Next:   mend the method and run the same command again; only units without scores are tried.")
    elif result.document.spec.limit is None:
        console.print(f"Next:   harness show {result.folder}   (scores of every unit)", soft_wrap=True)
    else:
        console.print("Next:   run it again without --limit for scores that count.")
    if next_step is not None and result.complete:
        console.print(f"Then:   {next_step}", markup=False, soft_wrap=True)


def _notes(result: RunResult) -> tuple[str, ...]:
    """What to know beside the scores. Raises IntegrityError for stored answers that were changed."""
    kind = kind_of(result.document.spec.task)
    labels = {unit.unit: f"{unit.study} · {unit.model}" for unit in result.document.units}
    answers = {labels[key]: outputs for key, outputs in result.outputs().items()} if kind.notes else {}
    return tuple(load(kind.notes)(answers)) if kind.notes else ()


def print_json_result(result: RunResult, place: tuple[Place, ...] | str) -> None:
    """The sealed document, its folder and the place, as one JSON object."""
    shown = place if isinstance(place, str) else [asdict(each) for each in place]
    print_json({"run": result.document.canonical(), "folder": str(result.folder), "place": shown})


def print_units(result: RunResult) -> None:
    """The first metric of every unit: studies by models. All metrics are in `--json` and `to_frame()`."""
    document = result.document
    models = list(dict.fromkeys(unit.model for unit in document.units))
    facts = metric_facts()
    names = [record.metric for unit in document.units for record in unit.records]
    metric = next((name for name in names if facts[name].lower_is_better is not None), "")
    title = f"{facts[metric].heading if metric else 'status'} of every unit"
    table = plain_table(("study", *models), ("study",), title)
    cells: dict[str, dict[str, str]] = {}
    for unit in document.units:
        values = [record.value for record in unit.records if record.metric == metric]
        cells.setdefault(unit.study, {})[unit.model] = facts[metric].text(values[0]) if values else unit.status
    for study, by_model in cells.items():
        table.add_row(study, *(by_model.get(model, "") for model in models))
    Console(highlight=False).print(table)


def print_board(board: Board, benchmark: Benchmark) -> None:
    """A board as tables of at most 100 columns: the ranking, the tables behind it, published rows, who is not ranked."""
    console = Console(highlight=False)
    wide = console.width
    arrow = "↓" if board.lower_is_better else "↑"
    console.print(f"\n{benchmark.title} ({board.benchmark}): {scaled_title(board)} {arrow}", style="bold", markup=False)
    rows = sorted(board.rows, key=lambda row: row.reference)
    names = [row.method + (" †" if row.as_reported else "") for row in rows]
    columns: dict[str, list[str]] = {}
    for column in board.columns:
        text = rank_text if column == board.columns[-1] else _short_rank
        columns[column] = [_board_cell(row.cells.get(column), text) for row in rows]
    facts = {"units": [row.units for row in rows], "tier": [str(row.tier) for row in rows]}
    shared = [f"{name} {texts[0]}" for name, texts in facts.items() if len(set(texts)) == 1]
    columns |= {name: texts for name, texts in facts.items() if len(set(texts)) > 1}
    styles = ["italic" if row.reference else "" for row in rows]
    _print_columns(console, wide, ("method", names), columns, styles)
    console.print("behind each score: rank and group; in brackets the 95 % interval of the rank", style="dim")
    if shared:
        console.print(f"all rows: {', '.join(shared)}", style="dim")
    if any(row.as_reported for row in rows):
        console.print("† holds numbers as reported until the row is reproduced (see board.md)", style="dim")
    for table in board.tables:
        console.print(f"\n{table.title}", style="bold", markup=False)
        console.print(table.text, style="dim", markup=False, width=min(wide, _TEXT_WIDTH))
        numbered = table.columns[0] == "1"
        label = [f"{place} {row.method}" if numbered else row.method for place, row in enumerate(table.rows, start=1)]
        found = {
            column: ["–" if row.values[at] is None else f"{row.values[at]:.{table.digits}f}" for row in table.rows]
            for at, column in enumerate(table.columns)
        }
        _print_columns(console, wide, ("method", label), found)
    if board.published:
        _print_published(console, wide, board)
    for each in board.unranked:
        console.print(f"not ranked: {each.method}: {each.reason}", markup=False, soft_wrap=True)


def _print_published(console: Console, wide: int, board: Board) -> None:
    console.print("\nAs published, not ranked together", style="bold")
    table = published_table(board)
    methods = dict.fromkeys(each.method for each in board.published)
    found = {name: [texts[name] for texts in table.values()] for name in methods}
    _print_columns(console, wide, ("study", list(table)), found)
    for source in dict.fromkeys(each.source for each in board.published):
        console.print(f"source: {source}", style="dim", markup=False, soft_wrap=True)


def _print_columns(
    console: Console,
    wide: int,
    label: tuple[str, list[str]],
    columns: Mapping[str, list[str]],
    styles: list[str] | None = None,
) -> None:
    """Columns of text beside one of labels; as many tables below each other as the width asks for."""
    width = {name: max(map(cell_len, [name, *map(_plain, texts)])) + _GAP for name, texts in columns.items()}
    first = max(map(cell_len, [label[0], *label[1]])) + _GAP
    waiting = list(columns)
    while waiting:
        taken = [waiting.pop(0)]
        while waiting and first + sum(width[name] for name in [*taken, waiting[0]]) <= wide - _FRAME:
            taken.append(waiting.pop(0))
        table = plain_table((label[0], *taken), (label[0],), no_wrap=True)
        for at, text in enumerate(label[1]):
            style = styles[at] if styles else ""
            table.add_row(escape(text), *(columns[name][at] for name in taken), style=style)
        console.print(table)


def _plain(text: str) -> str:
    return Text.from_markup(text).plain


def _board_cell(cell: Cell | None, text: Callable[[Cell], str]) -> str:
    return "–" if cell is None else f"{cell.value:.1f}{spread_text(cell)} [dim]{escape(text(cell))}[/]"


def _short_rank(cell: Cell) -> str:
    return "" if cell.rank is None or cell.group is None else f"{cell.rank}{group_letter(cell.group)}"


def _score_table(result: RunResult) -> Table:
    """One column per group of studies (severities are averaged), one row per metric: fits 80 characters."""
    document = result.document
    columns: dict[str, dict[str, Summary]] = {}
    for row in document.summary:
        if row.part_of is None:
            columns.setdefault(row.study, {})[row.metric] = row
    title = f"{document.spec.method.name} {document.spec.method.version} on {document.spec.benchmark}"
    table = plain_table(("", *columns), ("",), title)
    table.caption = kind_of(document.spec.task).caption
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

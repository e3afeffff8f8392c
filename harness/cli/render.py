"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from harness.boards.local import namesakes_of_other_code
from harness.boards.render import (
    all_tiers_note,
    competitors_first,
    group_letter,
    published_tables,
    rank_text,
    scaled_title,
    spread_text,
    tier_text,
    unearned_ranks,
    units_text,
)
from harness.cli.output import FAILED, RIGHT, SKIPPED, say, say_json, table
from harness.execution.executor import CHECK_FAILED
from harness.execution.method_process import PRINTED
from harness.execution.run_result import RunResult
from harness.metrics.facts import board_text, metric_facts
from harness.spec.board import Board, Cell
from harness.spec.kinds import kind_of
from harness.spec.result import Summary, UnitResult

if TYPE_CHECKING:
    from harness.boards.place import Place
    from harness.spec.benchmark import Benchmark

_TEXT_WIDTH = 100
_GAP, _FRAME = 2, 2  # columns that a table adds behind each of its own, and around them


def print_result(
    result: RunResult,
    place: tuple[Place, ...] | str,
    report: Path | None = None,
    next_step: str | None = None,
    *,
    reused: bool = False,
    shown: bool = False,
) -> None:
    """Study × metric with intervals, the place, what failed, and what to do next.

    next_step: the command to go on with, where the protocol names another benchmark. reused: no unit had to be run.
    shown: `harness show` prints this, so that it is not what to do next.
    """
    if any(unit.status == "ok" for unit in result.document.units):
        _print_scores(result)
        _print_place(place)
    else:
        say("No unit has scores.")
    _print_reasons(result)
    for note in result.notes():
        say(f"Note: {note}")
    if result.document.spec.limit is None and not shown:
        for other in namesakes_of_other_code(result):
            method = result.document.spec.method
            say(
                f"Note: {other.folder} is {method.name} {method.version} with other code; a board of runs shows the newest "
                "run alone, another version or name would keep both."
            )
    said = "   (all units were there already, none was run; --fresh runs them again)" if reused else ""
    say(f"\nRun:    {result.folder}{said}")
    if report is not None:
        say(f"Report: {report}")
    if (result.folder / PRINTED).is_dir():
        say(f"Output: {result.folder / PRINTED}   (what the method printed)")
    if result.failed:
        say(f"Next:   {_what_to_mend(result)}")
    elif result.document.spec.limit is not None:
        say("Next:   run it again without --limit for scores that count.")
    elif not shown:
        say(f"Next:   harness show {quote(str(result.folder))}   (scores of every unit)")
    else:
        say(f"Next:   harness report {quote(str(result.folder))} --open   (the same as a page, with charts)")
    if next_step is not None and result.complete:
        say(f"Then:   {next_step}")


def _what_to_mend(result: RunResult) -> str:
    if all(unit.reason.startswith(CHECK_FAILED) for unit in result.failed):
        return (
            "mend the method and run the same command again. It failed its check, so no unit was run; this run records "
            "that, and the mended method gets a run of its own."
        )
    return (
        "run the same command again. A method that was changed gets a run of its own, with all units; of an unchanged one "
        "only units without scores are tried."
    )


def print_json_result(result: RunResult, place: tuple[Place, ...] | str) -> None:
    """The sealed document, its folder and the place, as one JSON object."""
    say_json(as_json(result, place))


def as_json(result: RunResult, place: tuple[Place, ...] | str) -> dict[str, object]:
    """What `print_json_result` prints."""
    shown = place if isinstance(place, str) else [asdict(each) for each in place]
    return {"run": result.document.canonical(), "folder": str(result.folder), "place": shown}


def print_units(result: RunResult) -> None:
    """The first metric of every unit: studies by models. All metrics are in `--json` and `to_frame()`."""
    document = result.document
    models = list(dict.fromkeys(unit.model for unit in document.units))
    facts = metric_facts()
    names = [record.metric for unit in document.units for record in unit.records]
    metric = next((name for name in names if facts[name].lower_is_better is not None), "")
    cells: dict[str, dict[str, str]] = {}
    for unit in document.units:
        values = [record.value for record in unit.records if record.metric == metric]
        cells.setdefault(unit.study, {})[unit.model] = facts[metric].text(values[0]) if values else unit.status
    say(f"{facts[metric].heading if metric else 'status'} of every unit", "bold")
    by_column = {model: [of.get(model, "") for of in cells.values()] for model in models}
    _print_columns(("study", list(cells)), by_column)


def print_board(board: Board, benchmark: Benchmark) -> None:
    """A board as tables of at most 100 columns: the ranking, the tables behind it, published rows, who is not ranked."""
    arrow = "↓" if board.lower_is_better else "↑"
    say(f"{benchmark.title} ({board.benchmark}): {scaled_title(board)} {arrow}", "bold")
    if benchmark.ended:
        say(f"{benchmark.ended}.")
    if note := all_tiers_note(board, benchmark.ranked_tier):
        say(note)
    _print_ranking(board)
    for each in board.tables:
        say(f"\n{each.title}", "bold")
        console = Console(highlight=False)
        console.print(each.text, style="dim", markup=False, width=min(console.width, _TEXT_WIDTH))
        numbered = each.columns[0] == "1"
        names = [f"{place} {row.method}" if numbered else row.method for place, row in enumerate(each.rows, start=1)]
        texts = {
            column: ["–" if row.values[at] is None else f"{row.values[at]:.{each.digits}f}" for row in each.rows]
            for at, column in enumerate(each.columns)
        }
        _print_columns(("method", names), texts)
    if board.published:
        for heading, studies in published_tables(board).items():
            say(f"\nAs published, not ranked together: {heading}", "bold")
            methods = next(iter(studies.values()))
            _print_columns(("study", list(studies)), {name: [of[name] for of in studies.values()] for name in methods})
        for source in dict.fromkeys(each.source for each in board.published):
            say(f"source: {source}", "dim")
    for left_out in board.unranked:
        say(f"not ranked: {left_out.method}: {left_out.reason}")


def _print_ranking(board: Board) -> None:
    rows = competitors_first(board)
    columns: dict[str, list[str]] = {}
    for column in (board.columns[-1], *board.columns[:-1]):  # what orders the board stands first
        text = rank_text if column == board.columns[-1] else _short_rank
        columns[column] = [_board_cell(row.cells.get(column), text, board.metric) for row in rows]
    facts = {"units": [units_text(row) for row in rows], "tier": [tier_text(row) for row in rows]}
    shared = [f"{name} {texts[0]}" for name, texts in facts.items() if len(set(texts)) == 1]
    columns |= {name: texts for name, texts in facts.items() if len(set(texts)) > 1}
    names = [row.method + (" †" if row.as_reported else "") + (" ‡" if row.remark else "") for row in rows]
    _print_columns(("method", names), columns, ["italic" if row.reference else "" for row in rows])
    say("behind each score: rank and group; in brackets the 95 % interval of the rank", "dim")
    if unearned := unearned_ranks(board):
        say(unearned.replace("`", ""))
    if shared:
        say(f"all rows: {', '.join(shared)}", "dim")
    if any(row.exempt for row in rows):
        say("units that do not apply to a method are no debt of it: its scores are over fewer cells", "dim")
    if any(row.as_reported for row in rows):
        say("† holds numbers as reported until the row is reproduced (see board.md)", "dim")
    for remark in sorted({row.remark for row in rows} - {""}):
        say(f"‡ measured {remark}: {', '.join(row.method for row in rows if row.remark == remark)}", "dim")


def _print_columns(
    label: tuple[str, list[str]], columns: Mapping[str, list[str]], styles: list[str] | None = None
) -> None:
    """Columns of text beside one of labels; as many tables below each other as the width of the terminal asks for."""
    room = Console().width - _FRAME - max(map(cell_len, [label[0], *label[1]])) - _GAP
    width = {name: max(map(cell_len, [name, *_lines_of(texts)])) + _GAP for name, texts in columns.items()}
    waiting = list(columns)
    while waiting:
        taken = [waiting.pop(0)]
        while waiting and sum(width[name] for name in [*taken, waiting[0]]) <= room:
            taken.append(waiting.pop(0))
        shown = table({label[0]: {"no_wrap": True}, **dict.fromkeys(taken, RIGHT)}, [])
        for at, text in enumerate(label[1]):
            shown.add_row(escape(text), *(columns[name][at] for name in taken), style=styles[at] if styles else "")
        Console(highlight=False).print(shown)
        say("")


def _lines_of(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in Text.from_markup(text).plain.split("\n")]


def _board_cell(cell: Cell | None, text: Callable[[Cell], str], metric: str) -> str:
    if cell is None:
        return "–"
    return f"{board_text(metric, cell.value)}{spread_text(cell)} [dim]{escape(text(cell))}[/]"


def _short_rank(cell: Cell) -> str:
    return "" if cell.rank is None or cell.group is None else f"{cell.rank}{group_letter(cell.group)}"


def _print_scores(result: RunResult) -> None:
    """One column per group of studies (severities are averaged), one row per metric: fits 80 characters."""
    document, method = result.document, result.document.spec.method
    columns: dict[str, dict[str, Summary]] = {}
    for row in document.summary:
        if row.part_of is None:
            columns.setdefault(row.study, {})[row.metric] = row
    names = list(dict.fromkeys(row.metric for row in document.summary))
    headings = ["samples", *(metric_facts()[name].heading for name in names)]
    texts = {
        study: [
            str(next(iter(cells.values())).n // max(next(iter(cells.values())).seeds, 1)),
            *("–" if name not in cells else _cell(cells[name]) for name in names),
        ]
        for study, cells in columns.items()
    }
    say(f"{method.name} {method.version} on {document.spec.benchmark}", "bold")
    _print_columns(("", headings), texts)
    for name in () if result.failed else names:  # whose failures are told by themselves
        if all(name not in cells or cells[name].value is None for cells in columns.values()):
            say(_why_empty(name))
    say(kind_of(document.spec.task).caption, "dim")


def _why_empty(name: str) -> str:
    """Of a metric that has no value in any study."""
    fact = metric_facts()[name]
    probable = ": it needs confidences that are probabilities, all from 0 to 1"
    return f"{fact.heading} is – because it has no meaning here{probable * ('probability confidence' in fact.needs)}."


def _print_reasons(result: RunResult) -> None:
    """Why units have no scores; a reason that many share is said once."""
    reasons: dict[tuple[str, str], list[UnitResult]] = {}
    for unit in result.document.units:
        if unit.status != "ok":
            reasons.setdefault((unit.status, unit.reason), []).append(unit)
    for (status, reason), units in reasons.items():
        where = f"{units[0].study} · {units[0].model}"
        if len(units) > 1:
            where = f"{len(units)} of {len(result.document.units)} units ({where}, …)"
        say(f"{where}: {status}: {reason}", sign=SKIPPED if status == "not-applicable" else FAILED)


def _cell(row: Summary) -> str:
    text = metric_facts()[row.metric].text
    if row.value is None or row.low is None or row.high is None:
        return text(row.value)
    return f"{text(row.value)}\n[dim]{text(row.low)}–{text(row.high)}[/]"


def _print_place(place: tuple[Place, ...] | str) -> None:
    if isinstance(place, str):
        say(f"\nNo place on the board: {place}.")
        return
    best = place[-1]
    Console(highlight=False, soft_wrap=True).print(
        f"\nPlace [bold]{best.rank}[/] of {best.of} by {best.column} {best.title} "
        f"(95 % interval {best.rank_low}–{best.rank_high})" + _tied(best.tied_with)
    )
    if place[:-1]:
        say("  " + ", ".join(f"{each.column} {each.rank}" for each in place[:-1]), "dim")
    if best.remark:
        say(f"  {best.remark}", "dim")


def _tied(names: tuple[str, ...], most: int = 4) -> str:
    if not names:
        return ", told apart from all others."
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f", not told apart from {', '.join(names[:most])}{more}."

"""A board as JSON, CSV and Markdown: the files that lie beside a benchmark."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from harness.boards.sources import source_page
from harness.boards.text import markdown_text, spreadsheet_text
from harness.metrics.facts import board_text, metric_facts
from harness.spec.benchmark import Benchmark
from harness.spec.board import Board, Cell, Published, Row
from harness.spec.submission import Tier
from harness.storage import fill_template, json_text

CHECKOUT = "../../.."
"""The way from a board's folder to the checkout, from which the folders of its rows are named."""
COLUMNS = (
    *("benchmark", "method", "version", "reference", "column", "metric", "scale"),
    *("value", "low", "high", "spread", "rank", "rank_low", "rank_high", "group"),
    *("units", "tier", "waits_since", "seconds", "trainings", "forwards", "backwards", "submitted", "folder"),
)
INTEGERS = ("rank", "rank_low", "rank_high", "group", "trainings", "forwards", "backwards")


def board_json(board: Board) -> str:
    """The whole board; equal boards give equal text."""
    return json_text(board.canonical()) + "\n"


def board_csv(board: Board) -> str:
    """One line per method and column in which it has a score; numbers in six digits, nothing where one is missing.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")  # what is missing is an empty cell there
    table.writerow(COLUMNS)
    for record in long_table(board):
        table.writerow([_csv_cell(value) for value in record.values()])
    return text.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:g}"
    return spreadsheet_text(value) if isinstance(value, str) else value


def long_table(board: Board) -> list[dict[str, object]]:
    """One record per method and column in which it has a score; its keys are `COLUMNS`, None where one is missing."""
    records = []
    for row in board.rows:
        for column in (each for each in board.columns if each in row.cells):
            cell, cost = row.cells[column], row.cost
            about = (board.benchmark, row.method, row.version, row.reference, column, board.metric, board.scale)
            numbers = (cell.value, cell.low, cell.high, cell.spread)
            ranks = (cell.rank, cell.rank_low, cell.rank_high, cell.group)
            spent = (None,) * 4 if cost is None else (cost.seconds, cost.trainings, cost.forwards, cost.backwards)
            date = None if row.submitted is None else row.submitted.isoformat()
            since = (date or "unknown") if row.waits else None
            fields = (*about, *numbers, *ranks, row.units, row.tier, since, *spent, date, row.folder or None)
            records.append(dict(zip(COLUMNS, fields, strict=True)))
    return records


def board_markdown(board: Board, benchmark: Benchmark, checkout: str = CHECKOUT) -> str:
    """A page that a person reads: the ranking, what its columns mean, and who is not ranked.

    checkout: the way from the page to where the folders of rows are named from.
    """
    return fill_template(
        Path(__file__).with_name("templates") / "board.md",
        board=board,
        benchmark=benchmark,
        title=scaled_title(board),
        direction=direction(board),
        rows=competitors_first(board),
        reported=_reported(board),
        published=published_tables(board),
        checkout=checkout,
        score=lambda cell: _score_text(cell, board.metric),
        number=lambda cell: board_text(board.metric, cell.value),
        cost=cost_text,
        tier=tier_text,
        unearned=unearned_ranks(board) or all_tiers_note(board, benchmark.ranked_tier),
        own="; *your run* was made here" if any(map(is_run, board.rows)) else "",
        source_page=source_page,
        plain=markdown_text,
    )


def scaled_title(board: Board) -> str:
    """What the numbers are, e.g. `AUGRC × 1000`."""
    return board.title if board.scale == 1.0 else f"{board.title} × {board.scale:g}"


def direction(board: Board) -> str:
    """Which values are better, e.g. `lower is better`."""
    return f"{'lower' if board.lower_is_better else 'higher'} is better"


def competitors_first(board: Board) -> list[Row]:
    """Rows as boards show them: in their order, reference rows at the end."""
    return sorted(board.rows, key=lambda row: row.reference)


def rank_text(cell: Cell) -> str:
    """`3 [2-6] b`: rank, its interval, and the tied group as a letter."""
    if cell.rank is None or cell.group is None:
        return ""
    return f"{cell.rank} [{cell.rank_low}–{cell.rank_high}] {group_letter(cell.group)}"


def is_run(row: Row) -> bool:
    """Whether a row is a run of a board of runs: its folder is named from that of all runs, a submission's from the
    checkout."""
    return bool(row.folder) and "/" not in row.folder


def units_text(row: Row) -> str:
    """`6/6, 12 do not apply`: scored of planned units, and how many the method is exempt from."""
    return f"{row.units}, {row.exempt} do{'es' * (row.exempt == 1)} not apply" if row.exempt else row.units


def tier_text(row: Row) -> str:
    """`reproduced`, or `recomputed, waits since 2026-11-02` where a row has no rank before it is reproduced; `your run`."""
    if is_run(row):
        return "your run"
    since = row.submitted or "a day that is not known"
    return f"{row.tier}, waits since {since}" if row.waits else row.tier


def unearned_ranks(board: Board) -> str:
    """Why rows stand without a rank, in one sentence; empty where none waits to be reproduced."""
    waiting, rows = (sum(row.waits for row in board.rows), sum(not row.reference for row in board.rows))
    how = f"`harness board show {board.benchmark} --all-tiers`"
    if not waiting:
        return ""
    if waiting == rows:
        return f"No row is reproduced yet, so none has a rank; {how} ranks all."
    what = "1 row waits" if waiting == 1 else f"{waiting} rows wait"
    return f"Only reproduced rows have ranks: {what} below them, longest first; {how} ranks all."


def all_tiers_note(board: Board, ranked: Tier) -> str:
    """That rows have ranks which the official board does not give them, in one sentence; empty where none has.

    ranked: the tier from which on rows have ranks there.
    """
    early = ranked == "reproduced" and board.ranks_from == "recomputed"
    if not early or not any(row.tier == "recomputed" and not row.reference and not is_run(row) for row in board.rows):
        return ""
    return "Rows of all tiers are ranked here; on the official board, reproduced rows alone have ranks."


def spread_text(cell: Cell) -> str:
    """` ±3.1`: how far the metrics behind a mean rank disagree; nothing where that is not measured."""
    return "" if cell.spread is None else f" ±{cell.spread:.1f}"


def group_letter(group: int) -> str:
    """1 -> a, 26 -> z, 27 -> aa."""
    letters = ""
    while group:
        group, remainder = divmod(group - 1, 26)
        letters = chr(ord("a") + remainder) + letters
    return letters


def cost_text(row: Row) -> str:
    """`48 s, 6 trainings` or `9 s, 1,500 forwards`: what the run took, or its reproduction."""
    if row.cost is None:
        return "–"
    parts = [f"{row.cost.seconds:,.0f} s"]
    counts = {"training": row.cost.trainings, "forward": row.cost.forwards, "backward": row.cost.backwards}
    parts += [f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    return ", ".join(parts)


def published_tables(board: Board) -> dict[str, dict[str, dict[str, str]]]:
    """What papers say, by metric: its title -> study -> method -> text, a dash where none says anything.

    All in the order of the file.
    """
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for metric in dict.fromkeys(each.metric for each in board.published):
        numbers = [each for each in board.published if each.metric == metric]
        methods = dict.fromkeys((each.method for each in numbers), "–")
        table = tables[_metric_title(metric) if metric else scaled_title(board)] = {}
        for each in numbers:
            table.setdefault(each.column, dict(methods))[each.method] = published_text(each, metric or board.metric)
    return tables


def _metric_title(metric: str) -> str:
    fact = metric_facts()[metric]
    name = fact.id.replace("_", " ")
    return name if fact.scale == 1.0 else f"{name} × {fact.scale:g}"


def published_text(number: Published, metric: str) -> str:
    """`47.2 ±1.4`: a published value with what is known of its uncertainty."""
    text = board_text(metric, number.value)
    if number.std is not None:
        text += f" ±{board_text(metric, number.std)}"
    if number.low is not None and number.high is not None:
        text += f" [{board_text(metric, number.low)}–{board_text(metric, number.high)}]"
    return text


def _reported(board: Board) -> dict[tuple[str, ...], list[str]]:
    """Metrics that only another run can check -> the methods of which they are as reported."""
    reported: dict[tuple[str, ...], list[str]] = {}
    for row in board.rows:
        if row.as_reported:
            reported.setdefault(row.as_reported, []).append(row.method)
    return reported


def _score_text(cell: Cell | None, metric: str) -> str:
    if cell is None:
        return "–"
    return f"**{board_text(metric, cell.value)}**{spread_text(cell)} {rank_text(cell)}".rstrip()

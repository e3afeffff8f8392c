"""A board as JSON, CSV and Markdown: the files that lie beside a benchmark."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from harness.boards.sources import source_page
from harness.spec.attribution import AttributionBenchmark
from harness.spec.benchmark import Benchmark
from harness.spec.board import Board, Cell, Published, Row, Table, Unranked

_UP = "../../.."  # from a board's folder to the checkout
COLUMNS = (
    *("benchmark", "method", "version", "reference", "column", "metric", "scale"),
    *("value", "low", "high", "spread", "rank", "rank_low", "rank_high", "group"),
    *("units", "tier", "seconds", "trainings", "forwards", "backwards", "submitted", "folder"),
)


def board_json(board: Board) -> str:
    """The whole board; equal boards give equal text."""
    return json.dumps(board.canonical(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def board_csv(board: Board) -> str:
    """One line per method and column in which it has a score; numbers in six digits, nothing where one is missing."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in long_table(board):
        fields = (record[name] for name in COLUMNS)
        writer.writerow(["" if f is None else f"{f:g}" if isinstance(f, float) else f for f in fields])
    return stream.getvalue()


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
            fields = (*about, *numbers, *ranks, row.units, row.tier, *spent, date, row.folder or None)
            records.append(dict(zip(COLUMNS, fields, strict=True)))
    return records


def board_markdown(board: Board, benchmark: Benchmark) -> str:
    """A page that a person reads: the ranking, what its columns mean, and who is not ranked."""
    lines = [
        f"# {benchmark.title} ({board.benchmark})",
        "",
        *_introduction(board, benchmark),
        "| rank | method | " + " | ".join(board.columns) + " | units | tier | cost | date |",
        "|---:|---|" + "---:|" * len(board.columns) + "---:|---|---:|---|",
        *(_markdown_row(row, board) for row in board.rows if not row.reference),
        *(_markdown_row(row, board) for row in board.rows if row.reference),
        "",
        "Groups: " + ", ".join(f"{column} {count}" for column, count in board.groups.items()) + ".",
        "",
        *_notes(board),
    ]
    for table in board.tables:
        lines += _markdown_table(table, {row.method for row in board.rows if row.reference})
    if board.published:
        lines += _markdown_published(board)
    if board.unranked:
        lines += ["## Not ranked", "", *(_markdown_unranked(each, board) for each in board.unranked), ""]
    return "\n".join(lines)


def scaled_title(board: Board) -> str:
    """What the numbers are, e.g. `AUGRC × 1000`."""
    return board.title if board.scale == 1.0 else f"{board.title} × {board.scale:g}"


def rank_text(cell: Cell) -> str:
    """`3 [2-6] b`: rank, its interval, and the tied group as a letter."""
    if cell.rank is None or cell.group is None:
        return ""
    return f"{cell.rank} [{cell.rank_low}–{cell.rank_high}] {group_letter(cell.group)}"


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
    """`48 s, 6 trainings` or `9 s, 1,500 forwards`: what the run took, as its maker measured it."""
    if row.cost is None:
        return "–"
    parts = [f"{row.cost.seconds:,.0f} s"]
    counts = {"training": row.cost.trainings, "forward": row.cost.forwards, "backward": row.cost.backwards}
    parts += [f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    return ", ".join(parts)


def published_methods(board: Board) -> list[str]:
    """Methods with numbers from papers, in the order of the file."""
    return list(dict.fromkeys(each.method for each in board.published))


def published_text(number: Published) -> str:
    """`47.2 ±1.4`: a published value with what is known of its uncertainty."""
    text = f"{number.value:.1f}"
    if number.std is not None:
        text += f" ±{number.std:.1f}"
    if number.low is not None and number.high is not None:
        text += f" [{number.low:.1f}–{number.high:.1f}]"
    return text


def _introduction(board: Board, benchmark: Benchmark) -> list[str]:
    direction = "lower is better" if board.lower_is_better else "higher is better"
    paragraphs = [
        f"{scaled_title(board)}, {direction}. {board.explanation} Behind each score its rank; in brackets the 95 % interval "
        "of the rank; then the group: a method opens a new one if it can be "
        "told apart from the best of the group above (its paired difference excludes 0); methods of neighbouring groups may "
        "still be inseparable. Equal ranks are sorted by name. Generated by `harness board build`; do not edit.",
        "A row that comes or goes changes no other row's score or interval, and its rank at most by the count of rows "
        "above it"
        + (
            " (methods of the reference pool excepted, which set the scale for all)"
            if isinstance(benchmark, AttributionBenchmark) and benchmark.reference
            else ""
        )
        + ". Intervals of ranks and groups"
        + (", and the tables below with their corrections for many comparisons," if board.tables else "")
        + " are about the rows that are here.",
    ]
    if benchmark.status == "deprecated":
        successor = f"; its successor is {benchmark.successor}" if benchmark.successor else ""
        paragraphs.insert(0, f"**This version is deprecated{successor}.** It takes no new submissions.")
    return [line for paragraph in paragraphs for line in (paragraph, "")]


def _notes(board: Board) -> list[str]:
    """What marks in the ranking mean, where they occur."""
    notes = []
    if any(row.reference for row in board.rows):
        notes.append("*Reference rows* in italics are bounds, not competitors; they take no rank.")
    if any(row.oracle for row in board.rows):
        notes.append("An *(oracle)* reads what others have to tell: no method can be expected to reach it.")
    if any(row.exempt for row in board.rows):
        notes.append(
            "A number of units behind a name: the others do not apply to the method; its scores are over fewer cells."
        )
    if board.rows:
        notes.append(
            "Units: scored of those planned. Tier: *recomputed* from the submission's stored outputs, or *reproduced* by "
            "running its method again. Cost is as the submitter measured it"
            + (
                "; forwards are samples that the method passed through networks, backwards those whose gradients it took."
                if any(row.cost is not None and row.cost.forwards is not None for row in board.rows)
                else "."
            )
        )
    reported: dict[tuple[str, ...], list[str]] = {}
    for row in board.rows:
        if row.as_reported:
            reported.setdefault(row.as_reported, []).append(row.method)
    for metrics, methods in reported.items():
        who = "all rows" if len(methods) == len(board.rows) else ", ".join(methods)
        notes.append(f"† As reported until the row is reproduced: {', '.join(metrics)} ({who}).")
    if any(row.maps for row in board.rows):
        notes.append(
            "Of rows with *maps*, `harness validate --fetch-maps` recomputes what follows from these, on anybody's machine."
        )
    return [line for note in notes for line in (note, "")]


def _markdown_unranked(each: Unranked, board: Board) -> str:
    has = ", ".join(f"{column} {each.cells[column].value:.1f}" for column in board.columns if column in each.cells)
    return f"- {each.method}: {each.reason}" + (f"; it has {has}" if has else "")


def _markdown_row(row: Row, board: Board) -> str:
    name = f"[{row.method}]({_UP}/{row.folder})" if row.folder else row.method
    name = f"*{name}*" if row.reference else name
    if row.oracle:
        name += " (oracle)"
    if row.exempt:
        name += f" ({row.units.split('/')[0]} units)"
    if row.folder:
        name += f" [code]({_UP}/{source_page(row.folder)})"
    if row.maps:
        name += f" [maps]({row.maps})"
    last = row.cells.get(board.columns[-1])
    rank = "" if last is None or last.rank is None else last.rank
    cells = [row.cells.get(column) for column in board.columns]
    texts = ["–" if cell is None else f"**{cell.value:.1f}**{spread_text(cell)} {rank_text(cell)}" for cell in cells]
    tier = row.tier + (" †" if row.as_reported else "")
    facts = [row.units, tier, cost_text(row), row.submitted.isoformat() if row.submitted else "–"]
    return f"| {rank} | {name} | " + " | ".join([*(text.rstrip() for text in texts), *facts]) + " |"


def _markdown_table(table: Table, references: set[str]) -> Iterator[str]:
    """A table of a contest; its rows are numbered where columns are numbers of rows."""
    numbered = table.columns[0] == "1"
    yield from (f"## {table.title}", "", table.text, "")
    yield "| " + ("# | " if numbered else "") + "method | " + " | ".join(table.columns) + " |"
    yield ("|---:" if numbered else "") + "|---|" + "---:|" * len(table.columns)
    for number, row in enumerate(table.rows):
        name = f"*{row.method}*" if row.method in references else row.method
        values = ["–" if value is None else f"{value:.{table.digits}f}" for value in row.values]
        yield "| " + (f"{number + 1} | " if numbered else "") + f"{name} | " + " | ".join(values) + " |"
    yield ""


def _markdown_published(board: Board) -> Iterator[str]:
    """Columns and studies by methods, as papers say."""
    methods = published_methods(board)
    cells = {(each.column, each.method): published_text(each) for each in board.published}
    yield from ("## As published, not ranked together", "")
    yield (
        f"{scaled_title(board)} from papers, ± the standard deviation over seeds where it is known. Made with other "
        "code and other random draws: to be read beside the ranking, not as part of it."
    )
    yield from ("", "| study | " + " | ".join(methods) + " |", "|---|" + "---:|" * len(methods))
    for column in dict.fromkeys(each.column for each in board.published):
        yield f"| {column} | " + " | ".join(cells.get((column, method), "–") for method in methods) + " |"
    yield from ("", *(f"- Source: {source}" for source in dict.fromkeys(each.source for each in board.published)))
    yield from (f"- {note}" for note in dict.fromkeys(each.note for each in board.published if each.note))
    yield ""

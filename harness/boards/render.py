"""A board as JSON, CSV and Markdown: the files that lie beside a benchmark."""

from __future__ import annotations

import csv
import io
import json

from harness.boards.sources import source_page
from harness.spec.attribution import AttributionBenchmark
from harness.spec.benchmark import Benchmark
from harness.spec.board import Board, Cell, Published, Row, Table
from harness.tracks.pages import render

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
    references = {row.method for row in board.rows if row.reference}
    costs = [row.cost for row in board.rows if row.cost is not None]
    return render(
        "harness.boards",
        "board.md",
        board=board,
        benchmark=benchmark,
        title=scaled_title(board),
        direction=direction(board),
        rows=competitors_first(board),
        pooled=isinstance(benchmark, AttributionBenchmark) and benchmark.reference,
        counted=any(cost.forwards is not None for cost in costs),
        reported=_as_reported(board),
        tables=[_page_table(table, references) for table in board.tables],
        published_methods=published_methods(board),
        published_rows=[[study, *texts] for study, texts in published_studies(board).items()],
        sources=[f"Source: {source}" for source in published_sources(board)],
        notes=dict.fromkeys(each.note for each in board.published if each.note),
        code_of=source_page,
        cost_text=cost_text,
        rank_text=rank_text,
        spread_text=spread_text,
    )


def competitors_first(board: Board) -> list[Row]:
    """Rows as boards are shown: in their order, reference rows at the end."""
    return sorted(board.rows, key=lambda row: row.reference)


def direction(board: Board) -> str:
    """`lower is better` or `higher is better`."""
    return f"{'lower' if board.lower_is_better else 'higher'} is better"


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


def is_numbered(table: Table) -> bool:
    """Whether columns are numbers of rows, so that rows must show theirs."""
    return table.columns[0] == "1"


def value_texts(table: Table) -> list[list[str]]:
    """The numbers of each row as text."""
    return [["–" if each is None else f"{each:.{table.digits}f}" for each in row.values] for row in table.rows]


def published_methods(board: Board) -> list[str]:
    """Methods with numbers from papers, in the order of the file."""
    return list(dict.fromkeys(each.method for each in board.published))


def published_studies(board: Board) -> dict[str, list[str]]:
    """Column or study -> what papers say of each of `published_methods`."""
    texts = {(each.column, each.method): published_text(each) for each in board.published}
    methods = published_methods(board)
    return {
        study: [texts.get((study, name), "–") for name in methods] for study in dict.fromkeys(at[0] for at in texts)
    }


def published_sources(board: Board) -> list[str]:
    """The papers and releases behind published numbers."""
    return list(dict.fromkeys(each.source for each in board.published))


def published_text(number: Published) -> str:
    """`47.2 ±1.4`: a published value with what is known of its uncertainty."""
    text = f"{number.value:.1f}"
    if number.std is not None:
        text += f" ±{number.std:.1f}"
    if number.low is not None and number.high is not None:
        text += f" [{number.low:.1f}–{number.high:.1f}]"
    return text


def _page_table(table: Table, references: set[str]) -> dict[str, object]:
    """A table behind the ranking, as the page shows it."""
    names = [f"*{row.method}*" if row.method in references else row.method for row in table.rows]
    rows = [[name, *texts] for name, texts in zip(names, value_texts(table), strict=True)]
    heads, align = ["method", *table.columns], "l" + "r" * len(table.columns)
    if is_numbered(table):
        rows = [[str(place), *row] for place, row in enumerate(rows, start=1)]
        heads, align = ["#", *heads], "r" + align
    return {"title": table.title, "text": table.text, "heads": heads, "rows": rows, "align": align}


def _as_reported(board: Board) -> dict[tuple[str, ...], list[str]]:
    """Metrics that only another run of a method can check -> the methods of which that holds."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in board.rows:
        if row.as_reported:
            found.setdefault(row.as_reported, []).append(row.method)
    return found

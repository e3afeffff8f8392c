"""A board for other programs and for papers."""

from __future__ import annotations

import io
from typing import Literal, get_args

from harness.boards.cite import bibtex, board_references, latex
from harness.boards.render import COLUMNS, board_csv, board_json, board_markdown, long_table, scaled_title
from harness.data.catalog import LoadedBenchmark
from harness.spec.board import Board, Cell, Row
from harness.spec.errors import unknown

Format = Literal["json", "csv", "markdown", "latex", "parquet", "bibtex"]
FORMATS: tuple[str, ...] = get_args(Format)
_INTEGERS = ("rank", "rank_low", "rank_high", "group", "trainings")
_FLOATS = ("scale", "value", "low", "high", "spread", "seconds")


def export_board(board: Board, protocol: LoadedBenchmark, name: str) -> bytes:
    """The board in one of `FORMATS`; the same bytes every time. Raises UsageError for another format."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if name == "parquet":
        return board_parquet(board)
    texts = {
        "json": lambda: board_json(board),
        "csv": lambda: board_csv(board),
        "markdown": lambda: board_markdown(board, protocol.benchmark),
        "latex": lambda: board_latex(board, protocol),
        "bibtex": lambda: bibtex(board_references(board, protocol)),
    }
    return texts[name]().encode()


def board_latex(board: Board, protocol: LoadedBenchmark) -> str:
    """A table for a paper (needs the package booktabs): value, 95 % interval, and in bold who is in the best group."""
    direction = "lower is better" if board.lower_is_better else "higher is better"
    spread = any(cell.spread is not None for row in board.rows for cell in row.cells.values())
    caption = (
        f"{protocol.benchmark.title} ({board.benchmark}, sha256 {board.benchmark_hash[:12]}): {scaled_title(board)}, "
        f"{direction}; in brackets the 95 % interval"
        + (", after ± how far the metrics behind a mean rank disagree" if spread else "")
        + ". Bold: in the best group of its column, whose members cannot be told apart from its best. "
        "Italics: reference rows, not ranked."
    )
    ordered = [row for row in board.rows if not row.reference] + [row for row in board.rows if row.reference]
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\caption{" + latex(caption) + "}",
        rf"\label{{tab:{board.benchmark}}}",
        r"\begin{tabular}{rl" + "r" * len(board.columns) + "}",
        r"\toprule",
        " & ".join(["rank", "method", *map(latex, board.columns)]) + r" \\",
        r"\midrule",
        *(_latex_row(row, board) for row in ordered),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def board_parquet(board: Board) -> bytes:
    """The long table: one row per method and column, its columns those of `board.csv`."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {name: pa.int64() for name in _INTEGERS} | {name: pa.float64() for name in _FLOATS}
    types["reference"] = pa.bool_()
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    table = pa.Table.from_pylist(long_table(board), schema=schema)
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def _latex_row(row: Row, board: Board) -> str:
    last = row.cells.get(board.columns[-1])
    name = rf"\textit{{{latex(row.method)}}}" if row.reference else latex(row.method)
    rank = "" if last is None or last.rank is None else str(last.rank)
    return " & ".join([rank, name, *(_latex_cell(row.cells.get(column)) for column in board.columns)]) + r" \\"


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    value = f"{cell.value:.1f}" + ("" if cell.spread is None else rf" $\pm$ {cell.spread:.1f}")
    best = rf"\textbf{{{value}}}" if cell.group == 1 else value
    return rf"{best} {{\scriptsize [{cell.low:.1f}, {cell.high:.1f}]}}"

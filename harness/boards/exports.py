"""A board for other programs and for papers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from harness.boards.cite import bibtex, board_references, latex
from harness.boards.render import (
    COLUMNS,
    board_csv,
    board_json,
    board_markdown,
    competitors_first,
    direction,
    long_table,
    scaled_title,
)
from harness.data.catalog import LoadedBenchmark
from harness.spec.board import Board, Cell, Row
from harness.spec.errors import unknown

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["json", "csv", "markdown", "latex", "parquet", "bibtex"]
FORMATS: tuple[str, ...] = get_args(Format)
_INTEGERS = ("rank", "rank_low", "rank_high", "group", "trainings", "forwards", "backwards", "n", "seeds")
_FLOATS = ("scale", "value", "low", "high", "spread", "seconds")
_FLAGS = ("reference", "lower_is_better")


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
    import pandas as pd

    spread = any(cell.spread is not None for row in board.rows for cell in row.cells.values())
    caption = (
        f"{protocol.benchmark.title} ({board.benchmark}, sha256 {board.benchmark_hash[:12]}): {scaled_title(board)}, "
        f"{direction(board)}; in brackets the 95 % interval"
        + (", after ± how far the metrics behind a mean rank disagree" if spread else "")
        + ". Bold: in the best group of its column, whose members cannot be told apart from its best. "
        "Italics: reference rows, not ranked."
    )
    rows = [_latex_row(row, board) for row in competitors_first(board)]
    table = pd.DataFrame(rows, columns=["rank", "method", *board.columns]).style.hide(axis="index")
    text: str = table.format_index(lambda name: latex(str(name)), axis="columns").to_latex(
        hrules=True,
        position_float="centering",
        caption=latex(caption),
        label=f"tab:{board.benchmark}",
        column_format="rl" + "r" * len(board.columns),
    )
    return text


def board_parquet(board: Board) -> bytes:
    """The long table: one row per method and column, its columns those of `board.csv`."""
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(typed_table(COLUMNS, long_table(board)), stream)
    return stream.getvalue()


def typed_table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows as a table whose columns have the types that their names have on boards; what is missing is null."""
    import pyarrow as pa

    types = {name: pa.int64() for name in _INTEGERS} | {name: pa.float64() for name in _FLOATS}
    types |= {name: pa.bool_() for name in _FLAGS}
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, types.get(name, pa.string())) for name in columns]))


def _latex_row(row: Row, board: Board) -> list[str]:
    last = row.cells.get(board.columns[-1])
    name = rf"\textit{{{latex(row.method)}}}" if row.reference else latex(row.method)
    rank = "" if last is None or last.rank is None else str(last.rank)
    return [rank, name, *(_latex_cell(row.cells.get(column)) for column in board.columns)]


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    value = f"{cell.value:.1f}" + ("" if cell.spread is None else rf" $\pm$ {cell.spread:.1f}")
    best = rf"\textbf{{{value}}}" if cell.group == 1 else value
    return rf"{best} {{\scriptsize [{cell.low:.1f}, {cell.high:.1f}]}}"

"""A board for other programs and for papers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

from harness.boards.cite import bibtex, board_references, latex
from harness.boards.render import (
    CHECKOUT,
    COLUMNS,
    INTEGERS,
    board_csv,
    board_json,
    board_markdown,
    competitors_first,
    direction,
    long_table,
    scaled_title,
)
from harness.data.catalog import LoadedBenchmark
from harness.metrics.facts import board_text
from harness.spec.board import Board, Cell, Row
from harness.spec.errors import unknown

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["json", "csv", "markdown", "latex", "parquet", "bibtex"]
FORMATS: tuple[str, ...] = get_args(Format)


def export_board(
    board: Board,
    protocol: LoadedBenchmark,
    name: str,
    *,
    citations: Mapping[str, str] | None = None,
    checkout: str = CHECKOUT,
) -> bytes:
    """The board in one of `FORMATS`; the same bytes every time. `citations` as in `board_references`, `checkout` as in
    `board_markdown`. Raises UsageError for another format."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if name == "parquet":
        return board_parquet(board)
    texts = {
        "json": lambda: board_json(board),
        "csv": lambda: board_csv(board),
        "markdown": lambda: board_markdown(board, protocol.benchmark, checkout),
        "latex": lambda: board_latex(board, protocol),
        "bibtex": lambda: bibtex(board_references(board, protocol, citations)),
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
        + (" Without a rank: rows that are not reproduced yet." if any(row.waits for row in board.rows) else "")
    )
    rows = competitors_first(board)
    table = pd.DataFrame(
        [[_place(row, board), row.method, *(row.cells.get(column) for column in board.columns)] for row in rows],
        columns=["rank", "method", *board.columns],
        dtype=object,
    )
    italics = ["textit:--rwrap" if row.reference else "" for row in rows]
    return str(
        table.style.hide(axis="index")
        .format_index(escape="latex", axis="columns")
        .format(escape="latex", subset=["rank", "method"])
        .format(lambda cell: _latex_cell(cell, board.metric), subset=list(board.columns))
        .apply(lambda _: italics, subset=["method"])
        .to_latex(
            column_format="rl" + "r" * len(board.columns),
            caption=latex(caption),
            label=f"tab:{board.benchmark}",
            position_float="centering",
            hrules=True,
        )
    )


def board_parquet(board: Board) -> bytes:
    """The long table: one row per method and column, its columns those of `board.csv`."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(long_table(board), schema=arrow_schema(COLUMNS))
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def arrow_schema(columns: Iterable[str]) -> pa.Schema:
    """Columns of tables about boards and submissions, with the types of their values; text where no other is known."""
    import pyarrow as pa

    types = {
        **dict.fromkeys((*INTEGERS, "n", "seeds"), pa.int64()),
        **dict.fromkeys(("scale", "value", "low", "high", "spread", "seconds"), pa.float64()),
        **dict.fromkeys(("reference", "lower_is_better"), pa.bool_()),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in columns])


def _place(row: Row, board: Board) -> str:
    last = row.cells.get(board.columns[-1])
    return "" if last is None or last.rank is None else str(last.rank)


def _latex_cell(cell: object, metric: str) -> str:
    if not isinstance(cell, Cell):
        return "--"
    value = board_text(metric, cell.value) + ("" if cell.spread is None else rf" $\pm$ {cell.spread:.1f}")
    best = rf"\textbf{{{value}}}" if cell.group == 1 else value
    return rf"{best} {{\scriptsize [{board_text(metric, cell.low)}, {board_text(metric, cell.high)}]}}"

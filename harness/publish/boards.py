"""Boards and submissions as a data set for the Hub: what stands in the repository, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.boards.build import read_board
from harness.boards.exports import arrow_schema
from harness.boards.render import COLUMNS, direction, long_table, scaled_title
from harness.boards.submissions import StoredSubmission, read_submissions
from harness.boards.tiers import tier_of
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_files import SEALED
from harness.execution.run_result import RunResult
from harness.publish.card import CARD, hub_card
from harness.spec.board import Board
from harness.storage import write_table, write_text

Row = dict[str, Any]

BOARDS, SUBMISSIONS, SCORES = "boards", "submissions", "scores"
TITLE = "Leaderboards of confidence scores, query strategies and XAI methods"
_BOARD = (*COLUMNS, "lower_is_better", "benchmark_hash")
_SUBMISSION = (
    *("benchmark", "benchmark_hash", "method", "version", "tier", "submitted", "authors", "licence", "citation"),
    *("training_data", "hardware", "seconds", "trainings", "run", "source_sha256", "outputs"),
)
_SCORE = ("benchmark", "method", "version", "study", "metric", "value", "low", "high", "n", "seeds", "status", "run")
_MEANING = {
    BOARDS: "one row for each method and column of a board; computed from the submissions' stored outputs",
    SUBMISSIONS: "one row for each submission: who made it, what it rests on and cost, and the hashes of its files",
    SCORES: "one row for each submission, study and metric, as sealed in the run that was submitted",
}


def write_boards(protocols: Sequence[LoadedBenchmark], folder: Path) -> dict[str, int]:
    """Write `boards`, `submissions` and `scores` as parquet with a card; returns the number of rows of each.

    The same boards and submissions give the same bytes. Raises UsageError where a board has not been built,
    IntegrityError for a damaged one.
    """
    boards = [(protocol, read_board(protocol)) for protocol in protocols]
    stored = [each for protocol in protocols for each in read_submissions(protocol.benchmark.name)[0]]
    tables = {
        BOARDS: (_BOARD, [row for protocol, board in boards for row in _board_rows(protocol, board)]),
        SUBMISSIONS: (_SUBMISSION, [_submission_row(each) for each in stored]),
        SCORES: (_SCORE, [row for each in stored for row in _score_rows(each)]),
    }
    for name, (columns, rows) in tables.items():
        (folder / "data" / name).mkdir(parents=True, exist_ok=True)
        _write(folder / "data" / name / "00000.parquet", columns, rows)
    counts = {name: len(rows) for name, (_, rows) in tables.items()}
    card = hub_card(
        "boards.md",
        {"pretty_name": TITLE, "license": "apache-2.0", "tags": ["leaderboard", "benchmark"]},
        {name: f"data/{name}" for name in tables},
        default=BOARDS,
        title=TITLE,
        boards=[board for _, board in boards],
        scaled_title=scaled_title,
        direction=direction,
        counts=counts,
        meanings=_MEANING,
        citations=dict.fromkeys(text for protocol in protocols for text in protocol.benchmark.citation),
    )
    write_text(folder / CARD, card)
    return counts


def _board_rows(protocol: LoadedBenchmark, board: Board) -> list[Row]:
    more = {"lower_is_better": board.lower_is_better, "benchmark_hash": protocol.hash}
    return [{**row, **more} for row in long_table(board)]


def _submission_row(stored: StoredSubmission) -> Row:
    about = stored.about
    return {
        "benchmark": about.benchmark,
        "benchmark_hash": about.benchmark_hash,
        "method": about.name,
        "version": about.method.version,
        "tier": tier_of(about),
        "submitted": None if about.submitted is None else about.submitted.isoformat(),
        "authors": "; ".join(about.authors),
        "licence": about.licence,
        "citation": about.citation,
        "training_data": about.training_data,
        "hardware": about.hardware,
        "seconds": None if about.cost is None else about.cost.seconds,
        "trainings": None if about.cost is None else about.cost.trainings,
        "run": about.run,
        "source_sha256": about.method.source_sha256,
        "outputs": "; ".join(f"{name} sha256:{digest}" for name, digest in sorted(about.outputs.items())),
    }


def _score_rows(stored: StoredSubmission) -> list[Row]:
    if not (stored.folder / SEALED).is_file():
        return []
    about = stored.about
    head = {"benchmark": about.benchmark, "method": about.name, "version": about.method.version, "run": about.run}
    summary = RunResult.open(stored.folder).document.summary
    return [{**head, **row.model_dump(include=set(_SCORE))} for row in summary]


def _write(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows, schema=arrow_schema(columns))
    write_table(path, table.schema, table.to_batches())

"""The rows of a board that a run is shown beside: the best, the median and the simplest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.boards.build import board_of, read_board, read_standings
from harness.boards.submissions import read_submission, submissions_folder
from harness.data.catalog import LoadedBenchmark, benchmark_files
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.spec.board import Board, Row
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of
from harness.spec.method import MethodSpec
from harness.spec.run import Unit
from harness.storage import IntegrityError
from harness.tracks.base import Answers, Track
from harness.tracks.leaderboard import Entry
from harness.tracks.views import Rival, Role


@dataclass(frozen=True)
class BoardRows:
    """What of a board is at hand. missing: what is not, in a sentence; empty where all is there."""

    rivals: tuple[Rival, ...] = ()
    entries: Callable[[], tuple[Entry, ...]] = tuple
    missing: str = ""


def board_rows(protocol: LoadedBenchmark, method: MethodSpec) -> BoardRows:
    """Of the benchmark's board, without earlier states of the method itself. Reads no answers yet."""
    name = protocol.benchmark.name
    if name not in benchmark_files():
        return BoardRows(missing="This benchmark has no board, so there is nothing to compare with.")
    try:
        board = read_board(protocol)
    except (UsageError, IntegrityError) as error:
        return BoardRows(missing=f"There is nothing to compare with: {str(error).rstrip('.')}.")
    if board.benchmark_hash != protocol.hash:
        return BoardRows(
            missing="The board was built for another state of the benchmark, so there is nothing to compare with."
        )
    standings = cache(lambda: read_standings(protocol).of_all_tiers)
    if any(row.waits for row in board.rows):  # among rows of all tiers, as the run's own place is
        board = board_of(protocol, standings(), all_tiers=True)
    chosen = rows_of(board, kind_of(protocol.benchmark.task).simple_method, method.name)
    if not chosen:
        return BoardRows(missing="The board has no row to compare with.")
    there = {role: row for role, row in chosen.items() if (submissions_folder(name) / row.method).is_dir()}
    absent = sorted({row.method for role, row in chosen.items() if role not in there})
    missing = f"Their submissions are not at hand, so these rows of the board are not drawn: {', '.join(absent)}."
    return BoardRows(
        tuple(_rival(protocol, role, row) for role, row in there.items()),
        cache(lambda: tuple(each for each in standings().entries if each.method.name != method.name)),
        missing if absent else "",
    )


def rows_of(board: Board, simplest: str, own: str) -> dict[Role, Row]:
    """Role -> row, by the column that orders the board; a row has one role. Ranked rows go before rows that wait for
    their rank; references are none of both."""
    last = board.columns[-1]
    rows = [row for row in board.rows if not row.reference and row.method != own and last in row.cells]
    ranked = [row for row in rows if row.cells[last].rank is not None] or rows
    sign = 1.0 if board.lower_is_better else -1.0
    ranked.sort(key=lambda row: (sign * row.cells[last].value, row.method))
    candidates: list[tuple[Role, Row]] = [("best", ranked[0]), ("median", ranked[len(ranked) // 2])] if ranked else []
    candidates += [("simplest", row) for row in rows if row.method == simplest]
    found: dict[Role, Row] = {}
    for role, row in candidates:
        if row.method not in {each.method for each in found.values()}:
            found[role] = row
    return found


def open_row(protocol: LoadedBenchmark, name: str) -> tuple[Track, Mapping[Unit, Answers]]:
    """The track and the stored answers of a row whose submission is at hand; none where it is damaged."""
    submission = read_submission(submissions_folder(protocol.benchmark.name) / name)
    method = submission.about.method
    track = open_track(protocol, method, "cpu")
    try:
        return track, submission.answers(plan_units(protocol, track, method, PlanRequest(Path())))
    except IntegrityError:  # the board says what is wrong with it
        return track, {}


def _rival(protocol: LoadedBenchmark, role: Role, row: Row) -> Rival:
    return Rival(role, row.method, row.cells, row.cost, cache(lambda: open_row(protocol, row.method)))

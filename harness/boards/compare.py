"""Two methods, or two states of a board, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from harness.boards.build import read_board, read_standings
from harness.boards.diff import RowChange, board_at, board_changes
from harness.boards.entries import leaderboard_of, method_entry, submission_entry
from harness.boards.reproduce import find_submission
from harness.boards.submissions import ABOUT, read_submission, submissions_folder
from harness.data.catalog import LoadedBenchmark, benchmark_files, find_protocol
from harness.execution.run_result import RunResult
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.statistics import contains_zero, percentile_interval
from harness.tracks.leaderboard import BoardMetric, Column, Entry

JOINED = "A method that joins the pool meets one rival more than its members do: half a rank is taken off, which the board shows."


@dataclass(frozen=True)
class Difference:
    """One column: both values and their difference A - B on the board's scale, its 95 % interval, and the verdict.

    `better` is "A", "B", or empty where they cannot be told apart.
    """

    column: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    better: str


@dataclass(frozen=True)
class Comparison:
    """Two methods under one benchmark."""

    benchmark: str
    shows: BoardMetric
    a: str
    b: str
    differences: tuple[Difference, ...]
    note: str = ""
    """Where the numbers are not those that the board shows, why."""


@dataclass(frozen=True)
class BoardComparison:
    """Two boards: who moved on the way from the first to the second."""

    a: str
    b: str
    changes: tuple[RowChange, ...]


def compare(a: str, b: str, own: Path | None = None) -> Comparison | BoardComparison:
    """Compare two methods or two boards.

    Methods are folders of runs or submissions, or `benchmark@version/method`. Boards are `benchmark@version`; beside
    one, the other may be a git revision, which means the same board there. `own`: the file of the benchmark of runs, as
    in `RunResult.protocol`. Raises UsageError for anything else and
    for methods of different benchmarks, IntegrityError for damaged files.
    """
    boards = [name for name in (a, b) if name in benchmark_files()]
    if boards:
        found = [_board(name, boards[0]) for name in (a, b)]
        return BoardComparison(a, b, board_changes(*found))
    one, other = _entry(a, own), _entry(b, own)
    if one[0].hash != other[0].hash and one[0].benchmark.name == other[0].benchmark.name:
        raise UsageError(
            f"{a} and {b} were made for different states of {one[0].benchmark.name}: its file was changed in between, or "
            "two files bear this name; evaluate both under one."
        )
    if one[0].hash != other[0].hash:
        raise UsageError(
            f"{a} is about {one[0].benchmark.name} and {b} about {other[0].benchmark.name}; "
            "only methods under the same benchmark can be compared."
        )
    return compare_entries(one[0], one[1], other[1])


def compare_entries(protocol: LoadedBenchmark, a: Entry, b: Entry) -> Comparison:
    """Paired differences in every column in which both have a score."""
    leaderboard = leaderboard_of(protocol)
    names, entries = _joined(read_standings(protocol).entries if leaderboard.joint else (), a, b)
    shows, found, note = leaderboard.shows, [], ""
    for title, column in leaderboard.compared(entries).items():
        if all(name in column.draws for name in names):
            found.append(_difference(shows, title, column, *names))
            note = JOINED if any(column.shown.get(name) for name in names) else note
    a_shown, b_shown = _shown(a, b)
    return Comparison(protocol.benchmark.name, shows, a_shown, b_shown, tuple(found), note)


def all_differences(shows: BoardMetric, columns: Mapping[str, Column]) -> dict[tuple[str, str], tuple[Difference, ...]]:
    """Every two methods, each pair once and by name, in every column in which both have a score."""
    names = sorted({name for column in columns.values() for name in column.draws})
    found = {
        (a, b): tuple(
            _difference(shows, title, column, a, b)
            for title, column in columns.items()
            if a in column.draws and b in column.draws
        )
        for a, b in combinations(names, 2)
    }
    return {pair: differences for pair, differences in found.items() if differences}


def _difference(shows: BoardMetric, title: str, column: Column, a: str, b: str) -> Difference:
    """From draws whose resamples all methods share."""
    one, other = (float(column.draws[name][0]) * shows.scale for name in (a, b))
    difference = column.draws[a] - column.draws[b]
    low, high = (float(end) * shows.scale for end in percentile_interval(difference[1:]))
    better = "A" if (difference[0] < 0) == shows.lower_is_better else "B"
    better = "" if contains_zero(difference[1:]) else better
    return Difference(title, one, other, float(difference[0]) * shows.scale, low, high, better)


def _joined(standings: Sequence[Entry], a: Entry, b: Entry) -> tuple[list[str], list[Entry]]:
    """The names of the two, and everybody with whom they are compared.

    A method that stands on the board with the same numbers keeps its row; any other joins beside it.
    """
    names, everyone = [], list(standings)
    for entry, letter in ((a, "A"), (b, "B")):
        name = entry.method.name
        if not any(_same(entry, each) for each in standings):
            name = f"{name} ({letter})"
            method = entry.method.model_copy(update={"name": name, "reference": False})
            everyone.append(replace(entry, method=method, waits=True))
        names.append(name)
    return names, everyone


def _shown(a: Entry, b: Entry) -> list[str]:
    same = a.method.name == b.method.name
    return [f"{each.method.name}{f' ({letter})' if same else ''}" for each, letter in ((a, "A"), (b, "B"))]


def _same(one: Entry, other: Entry) -> bool:
    import numpy as np

    return (
        one.method.name == other.method.name
        and one.arrays.keys() == other.arrays.keys()
        and all(np.array_equal(one.arrays[key], other.arrays[key], equal_nan=True) for key in one.arrays)
    )


def _entry(name: str, own: Path | None) -> tuple[LoadedBenchmark, Entry]:
    """A run or submission with its benchmark."""
    folder = Path(name)
    if (folder / ABOUT).is_file() or (submissions_folder(name) / ABOUT).is_file():
        submission = read_submission(find_submission(name))
        protocol = find_protocol(submission.about.benchmark)
        if protocol.hash != submission.about.benchmark_hash:
            raise UsageError(f"{name} was made for another state of {protocol.benchmark.name} (its hash differs).")
        return protocol, submission_entry(protocol, submission)
    if folder.suffix == ".toml":
        raise UsageError(
            f"{name} is a benchmark, and runs are compared; harness board build {name} --runs runs puts all of one's own "
            "side by side."
        )
    if not folder.exists():
        known = ", ".join(benchmark_files())
        raise UsageError(
            f"{name} is no folder of a run or submission, no benchmark@version/method, and no board; boards: {known}."
        )
    run = RunResult.open(folder)
    protocol = run.protocol(own)
    if protocol.hash != run.document.spec.benchmark_hash:
        raise UsageError(f"{name} was made for another state of {protocol.benchmark.name}; evaluate again.")
    if run.failed or run.document.spec.limit is not None:
        raise UsageError(f"{name} is a rehearsal or has failed units; only whole runs can be compared.")
    scored = run.scored(protocol)
    return protocol, method_entry(protocol, scored.track, scored.measured, len(scored.measured))


def _board(name: str, benchmark: str) -> Board:
    if name in benchmark_files():
        return read_board(find_protocol(name))
    board = board_at(name, find_protocol(benchmark))
    if board is None:
        raise UsageError(f"{benchmark} has no board at {name}.")
    return board

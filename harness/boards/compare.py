"""Two methods, or two states of a board, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.build import read_board, read_standings
from harness.boards.diff import Change, board_at, board_changes
from harness.boards.entries import contest_of, method_entry, submission_entry
from harness.boards.place import units_of
from harness.boards.reproduce import find_submission
from harness.boards.submissions import ABOUT, read_submission, submissions_folder
from harness.data.catalog import LoadedBenchmark, benchmark_files, find_protocol
from harness.execution.run_result import RunResult
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.tracks.base import Contest, Entry, Heading

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Difference:
    """One column: both values and their difference A - B on the board's scale, its 95 % interval, and the verdict.

    Without an interval, the contest has no paired replicates of the column, and the verdict is the one that it makes
    of the two beside the methods of the board. `better` is "A", "B", or empty where they cannot be told apart.
    """

    column: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    better: str


@dataclass(frozen=True)
class Comparison:
    """Two methods under one benchmark."""

    benchmark: str
    heading: Heading
    a: str
    b: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class BoardComparison:
    """Two boards: who moved on the way from the first to the second."""

    a: str
    b: str
    changes: tuple[Change, ...]


def compare(a: str, b: str) -> Comparison | BoardComparison:
    """Compare two methods or two boards.

    Methods are folders of runs or submissions, or `benchmark@version/method`. Boards are `benchmark@version`; beside
    one, the other may be a git revision, which means the same board there. Raises UsageError for anything else and
    for methods of different benchmarks, IntegrityError for damaged files.
    """
    boards = [name for name in (a, b) if name in benchmark_files()]
    if boards:
        found = [_board(name, boards[0]) for name in (a, b)]
        return BoardComparison(a, b, board_changes(*found))
    one, other = _entry(a), _entry(b)
    if one[0].hash != other[0].hash:
        raise UsageError(
            f"{a} is about {one[0].benchmark.name} and {b} about {other[0].benchmark.name}, or another state of it; "
            "only methods under the same benchmark can be compared."
        )
    return compare_entries(one[0], one[1], other[1])


def compare_entries(protocol: LoadedBenchmark, a: Entry, b: Entry) -> Comparison:
    """Paired differences in every column in which both have a score."""
    contest = contest_of(protocol)
    same = a.method.name == b.method.name
    names = [f"{each.method.name}{f' ({letter})' if same else ''}" for each, letter in ((a, "A"), (b, "B"))]
    paired = [column for column in contest.columns if column in a.arrays and column in b.arrays]
    if paired:
        found = [_paired(contest.heading, column, a.arrays[column], b.arrays[column]) for column in paired]
    else:
        found = _among_others(contest, read_standings(protocol).entries, a, b)
    return Comparison(protocol.benchmark.name, contest.heading, names[0], names[1], tuple(found))


def _paired(heading: Heading, column: str, a: np.ndarray, b: np.ndarray) -> Difference:
    """From entries that hold a score followed by its replicates, whose resamples all methods share."""
    import numpy as np

    replicates = a[1:] - b[1:]
    low, high = np.nanpercentile(replicates, [2.5, 97.5]) * heading.scale
    values = float(a[0]) * heading.scale, float(b[0]) * heading.scale
    apart = not low <= 0 <= high
    return Difference(
        column, *values, values[0] - values[1], float(low), float(high), _better(heading, *values) if apart else ""
    )


def _among_others(contest: Contest, standings: Sequence[Entry], a: Entry, b: Entry) -> list[Difference]:
    """From the contest's own cells, where a score exists among the methods of a board only.

    A method that stands on the board with the same numbers keeps its row; any other joins beside it.
    """
    names, everyone = [], list(standings)
    for entry, letter in ((a, "A"), (b, "B")):
        name = entry.method.name
        if not any(_same(entry, each) for each in standings):
            name = f"{name} ({letter})"
            method = entry.method.model_copy(update={"name": name, "reference": False})
            everyone.append(replace(entry, method=method))
        names.append(name)
    cells, tied = contest.cells(everyone), contest.tied(everyone, names[0])
    scale = contest.heading.scale
    found = []
    for column in contest.columns:
        one, other = (cells[column].get(name) for name in names)
        if one is not None and other is not None:
            values = one.value * scale, other.value * scale
            apart = names[0] != names[1] and names[1] not in tied.get(column, ())
            better = _better(contest.heading, *values) if apart else ""
            found.append(Difference(column, *values, values[0] - values[1], None, None, better))
    return found


def _same(one: Entry, other: Entry) -> bool:
    import numpy as np

    return (
        one.method.name == other.method.name
        and one.arrays.keys() == other.arrays.keys()
        and all(np.array_equal(one.arrays[key], other.arrays[key], equal_nan=True) for key in one.arrays)
    )


def _better(heading: Heading, a: float, b: float) -> str:
    return "A" if (a < b) == heading.lower_is_better else "B"


def _entry(name: str) -> tuple[LoadedBenchmark, Entry]:
    """A run or submission with its benchmark."""
    folder = Path(name)
    if (folder / ABOUT).is_file() or (submissions_folder(name) / ABOUT).is_file():
        submission = read_submission(find_submission(name))
        protocol = find_protocol(submission.about.benchmark)
        if protocol.hash != submission.about.benchmark_hash:
            raise UsageError(f"{name} was made for another state of {protocol.benchmark.name} (its hash differs).")
        return protocol, submission_entry(protocol, submission)
    if not folder.exists():
        known = ", ".join(benchmark_files())
        raise UsageError(
            f"{name} is no folder of a run or submission, no benchmark@version/method, and no board; boards: {known}."
        )
    run = RunResult.open(folder)
    protocol = find_protocol(run.document.spec.benchmark)
    if protocol.hash != run.document.spec.benchmark_hash:
        raise UsageError(f"{name} was made for another state of {protocol.benchmark.name}; evaluate again.")
    if run.failed or run.document.spec.limit is not None:
        raise UsageError(f"{name} is a rehearsal or has failed units; only whole runs can be compared.")
    units, track = units_of(run, protocol)
    answered = {units[key]: track.submitted(outputs) for key, outputs in run.outputs().items()}
    return protocol, method_entry(protocol, track, answered, len(answered))


def _board(name: str, benchmark: str) -> Board:
    if name in benchmark_files():
        return read_board(find_protocol(name))
    board = board_at(name, find_protocol(benchmark))
    if board is None:
        raise UsageError(f"{benchmark} has no board at {name}.")
    return board

"""What a board needs of each submission, kept in a cache that its content addresses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.maps import FILE as MAPS
from harness.boards.submissions import OUTPUTS, StoredSubmission
from harness.boards.tiers import waits
from harness.data.array_cache import read_cached, write_cached
from harness.data.catalog import LoadedBenchmark
from harness.execution.environment import code_hash
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_files import SEALED
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of, load
from harness.spec.run import Unit
from harness.storage import IntegrityError, content_id, file_id
from harness.tracks.base import Answers, Measurement, Track
from harness.tracks.leaderboard import Entry, Leaderboard

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[int, int], None]

_WORTH_A_POOL = 6  # submissions: below, processes take longer to start than to work
_COUNTS, _REPORTED, _NAMES, _VALUES = "counts", "as_reported", "names.", "values."


@dataclass(frozen=True)
class Scored:
    """A submission as boards see it, and which of its metrics only another run of the method can check."""

    entry: Entry
    as_reported: tuple[str, ...] = ()


def leaderboard_of(protocol: LoadedBenchmark) -> Leaderboard:
    """How methods compare under a protocol."""
    board: Leaderboard = load(kind_of(protocol.benchmark.task).leaderboard)(protocol)
    return board


def submission_entry(protocol: LoadedBenchmark, submission: StoredSubmission) -> Entry:
    """A stored submission. Raises IntegrityError or UsageError for one that cannot be scored."""
    found = _cached(protocol, submission) or _scored(protocol, submission)
    return replace(found.entry, waits=waits(protocol, submission.about))


def score_submissions(
    protocol: LoadedBenchmark, submissions: Sequence[StoredSubmission], progress: Progress, workers: int | None = None
) -> list[Scored | str]:
    """Each submission scored, or the reason why it cannot be; in the order given.

    Those that are not in the cache are scored by `workers` processes, by default one per core; each submission is
    scored alone, so that their number changes no result.
    """
    found: list[Scored | str | None] = [_cached(protocol, each) for each in submissions]
    missing = [place for place, each in enumerate(found) if each is None]
    workers = min(workers or os.cpu_count() or 1, len(missing))
    progress(len(found) - len(missing), len(found))
    if workers < 2 or len(missing) < _WORTH_A_POOL:
        for done, place in enumerate(missing, start=1):
            found[place] = _scored_or_reason(protocol, submissions[place])
            progress(len(found) - len(missing) + done, len(found))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            places = {pool.submit(_scored_or_reason, protocol, submissions[place]): place for place in missing}
            for done, future in enumerate(as_completed(places), start=1):
                found[places[future]] = future.result()
                progress(len(found) - len(missing) + done, len(found))
    return [
        replace(each, entry=replace(each.entry, waits=waits(protocol, submission.about)))
        if isinstance(each, Scored)
        else str(each)
        for submission, each in zip(submissions, found, strict=True)
    ]


def method_entry(
    protocol: LoadedBenchmark, track: Track, measured: Mapping[Unit, Measurement], planned: int, exempt: int = 0
) -> Entry:
    """A method from its measured units; counts of units as in `Entry`."""
    return Entry(track.method, leaderboard_of(protocol).entry(track, measured), len(measured), planned, exempt)


def _one_thread() -> None:
    """Processes share the cores already; numeric libraries read this when they are loaded."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _scored_or_reason(protocol: LoadedBenchmark, submission: StoredSubmission) -> Scored | str:
    try:
        return _scored(protocol, submission)
    except (IntegrityError, UsageError) as error:
        return str(error)


def _scored(protocol: LoadedBenchmark, submission: StoredSubmission) -> Scored:
    method = submission.about.method
    track = open_track(protocol, method, "cpu")
    units = plan_units(protocol, track, method, PlanRequest(Path()))
    answered = submission.answers(units)
    board = leaderboard_of(protocol)
    exempt = len(board.exempt(submission.not_applicable(units)))
    measured = {unit: track.measure(unit, outputs, board.measures) for unit, outputs in answered.items()}
    entry = method_entry(protocol, track, measured, len(units) - exempt, exempt)
    scored = Scored(replace(entry, arrays=dict(sorted(entry.arrays.items()))), _as_reported(track, answered))
    write_cached("entries", _key(protocol, submission), _packed(scored))
    return scored


def _as_reported(track: Track, answered: Mapping[Unit, Answers]) -> tuple[str, ...]:
    """What the answers cannot prove."""
    return tuple(sorted({name for unit, outputs in answered.items() for name in track.as_reported(unit, outputs)}))


def _cached(protocol: LoadedBenchmark, submission: StoredSubmission) -> Scored | None:
    kept = read_cached("entries", _key(protocol, submission))
    return None if kept is None else _unpacked(submission, kept)


def _key(protocol: LoadedBenchmark, submission: StoredSubmission) -> str:
    """Of all that the entry follows from: the protocol, the submission's files and the code."""
    files = {name: _file_id(submission.folder / name) for name in (OUTPUTS, MAPS, SEALED)}
    code = code_hash(leaderboard_of(protocol))
    return content_id([protocol.hash, submission.about.canonical(), files, code])


def _file_id(path: Path) -> str | None:
    return file_id(path) if path.is_file() else None


def _packed(scored: Scored) -> dict[str, np.ndarray]:
    """Arrays of one type and shape as one: a board reads some thousand of them."""
    import numpy as np

    entry = scored.entry
    alike: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, array in entry.arrays.items():
        alike.setdefault((array.dtype.str, array.shape), []).append(name)
    packed = {
        _COUNTS: np.array([entry.scored, entry.planned, entry.exempt]),
        _REPORTED: np.array(scored.as_reported, dtype=np.str_),
    }
    for number, names in enumerate(alike.values()):
        packed[f"{_NAMES}{number}"] = np.array(names)
        packed[f"{_VALUES}{number}"] = np.stack([entry.arrays[name] for name in names])
    return packed


def _unpacked(submission: StoredSubmission, packed: Mapping[str, np.ndarray]) -> Scored:
    arrays = {
        str(name): values
        for key, names in packed.items()
        if key.startswith(_NAMES)
        for name, values in zip(names, packed[_VALUES + key.removeprefix(_NAMES)], strict=True)
    }
    scored, planned, exempt = (int(count) for count in packed[_COUNTS])
    entry = Entry(submission.about.method, dict(sorted(arrays.items())), scored, planned, exempt)
    return Scored(entry, tuple(str(name) for name in packed[_REPORTED]))

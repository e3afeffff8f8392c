"""`reproduce`: run a submitted method again and compare what it says with what the submission stores, unit by unit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from harness.boards.repetition import OutputComparison
from harness.boards.sources import find_source
from harness.boards.submissions import (
    ABOUT,
    StoredSubmission,
    cost_of,
    read_about,
    read_submission,
    submission_folders,
    submissions_folder,
)
from harness.boards.tiers import current_record, maps_id, record_path
from harness.data.catalog import benchmark_files, find_protocol
from harness.execution.evaluate import Listener, Prepared, Request, prepare, run
from harness.execution.fence import choose
from harness.execution.run_files import SEALED
from harness.execution.run_result import RunResult
from harness.execution.runner import discard
from harness.execution.sandbox import sandbox_available
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.spec.submission import Cost, Place, Reproduction
from harness.storage import IntegrityError, RunLockedError, make_folder, write_json
from harness.tracks.base import Answers, Track

_RUNS = "reproductions"
_MOST_SENTENCES = 20  # of a record
_PLACES: dict[str, Place] = {"bubblewrap": "bubblewrap", "landlock": "landlock", "none": "worker"}


@dataclass(frozen=True)
class Conditions:
    """Under what a method runs again; fields as in `Request`. The seed is that of the submission.

    tolerance: largest difference of floating-point outputs, relative to their magnitude; None for what
    the track allows each output (`Track.tolerance`). Answers of other types (queried samples, predicted classes)
    must be equal. Raises UsageError for a tolerance that is none.
    """

    tolerance: float | None = None
    out: Path = Path("runs")
    device: str = "auto"
    workers: int | None = None
    timeout: float = 300.0
    memory: float = 8.0

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise UsageError(f"--tolerance must be at least 0 and below 1, it is {self.tolerance:g}.")


@dataclass(frozen=True)
class Outcome:
    """What came of one submission: its record, which `stands` from before, or the problem why there is none."""

    name: str
    record: Reproduction | None = None
    stands: bool = False
    problem: str = ""

    @property
    def same(self) -> bool:
        return self.record is not None and self.record.same


def find_submissions(names: Sequence[str]) -> list[Path]:
    """The folders that a user means, each once: see `find_submission`; all of a benchmark for `benchmark@version`.

    Raises UsageError.
    """
    found: dict[Path, None] = {}
    for name in names:
        rows = submission_folders(submissions_folder(name)) if name in benchmark_files() else [find_submission(name)]
        if not rows:
            raise UsageError(f"{name} has no submission yet: none lies in {submissions_folder(name)}.")
        found |= dict.fromkeys(rows)
    return list(found)


def find_submission(name: str) -> Path:
    """The folder that a user means: its path, or `benchmark@version/method`. Raises UsageError."""
    if (Path(name) / SEALED).is_file() and not (Path(name) / ABOUT).exists():
        raise UsageError(
            f"{name} is a run and no submission; its command makes it again, harness submit {name} submits it."
        )
    for folder in (Path(name), submissions_folder(name)):
        if folder.is_dir():
            return folder
    raise UsageError(f"no submission lies in {name}; name its folder, e.g. submissions/<benchmark>@<version>/<method>.")


def reproduce_all(
    folders: Sequence[Path], conditions: Conditions, listener: Listener, today: date, *, again: bool = False
) -> Iterator[Outcome]:
    """Reproduce submissions one after the other, so that none of them slows down another.

    One whose record is of its present state is left alone, whatever the record says, unless `again`. What cannot be run
    stops none of the others. What a kill cuts off begins anew next time, for half of its run would be of another day.
    """
    for folder in folders:
        try:
            standing = None if again else current_record(read_about(folder))
            record = standing or reproduce(folder, conditions, listener, today)
        except (UsageError, IntegrityError, RunLockedError) as error:
            yield Outcome(folder.name, problem=str(error))
        else:
            yield Outcome(folder.name, record, stands=standing is not None)


def reproduce(folder: Path, conditions: Conditions, listener: Listener, today: date) -> Reproduction:
    """Run the method of a submission again, in a sandbox where there is one; write and return the record of it.

    Nothing of an earlier run is used. Raises UsageError for a submission that this harness cannot run, IntegrityError
    for one whose files are not those that it names.
    """
    submission = read_submission(folder)
    prepared = _prepare(submission, conditions)
    stored = submission.answers(prepared.plan.units)
    discard(prepared.plan.folder)
    again = run(prepared, listener.observer)
    comparison = OutputComparison(prepared.track, conditions.tolerance)
    differences = tuple(_differences(comparison, prepared, stored, again))
    about, cost = submission.about, cost_of(again, prepared.track, prepared.plan.units)
    found = Reproduction(
        run=about.run,
        outputs=about.outputs,
        maps=maps_id(about),
        same=not differences,
        differing=len(differences),
        differences=differences[:_MOST_SENTENCES],
        tolerance=conditions.tolerance,
        tolerances=comparison.allowances,
        cost=cost,
        counted=tuple(_counted(about.cost, cost)),
        shuffle=prepared.shuffle,
        sandbox=_PLACES[choose(prepared.limits.fence)],
        environment=again.document.environment,
        on=today,
    )
    path = record_path(about)
    write_json(make_folder(path.parent) / path.name, found.canonical())
    return found


def _differences(
    comparison: OutputComparison, prepared: Prepared, stored: Mapping[Unit, Answers], again: RunResult
) -> Iterator[str]:
    """A sentence for everything in which the run is not what is stored."""
    units, track = prepared.plan.units, prepared.track
    answers = {
        units[key]: _compared(track, outputs, stored.get(units[key], {})) for key, outputs in again.outputs().items()
    }
    ended = {units[each.unit]: each for each in again.document.units}
    for unit in units.values():
        old, new = stored.get(unit), answers.get(unit)
        found = [*comparison.differences(old, new, ended[unit])]
        if not found and old is not None and new is not None:
            found = [*comparison.worth(unit, old, new)]
        yield from (f"{unit.label}: {sentence}" for sentence in found)


def _counted(said: Cost | None, found: Cost) -> Iterator[str]:
    """A clause for each count that a submission and its reproduction have, and not alike."""
    for name in ("trainings", "forwards", "backwards"):
        old, new = getattr(said, name, None), getattr(found, name)
        if None not in (old, new) and old != new:
            yield f"with {new:,} {name} where its submission says {old:,}"


def _prepare(submission: StoredSubmission, conditions: Conditions) -> Prepared:
    about = submission.about
    document = RunResult.open(submission.folder).document
    if document.id != about.run:
        raise IntegrityError(f"{submission.folder} holds another run than its submission.toml names.")
    if find_protocol(about.benchmark).hash != about.benchmark_hash:
        raise UsageError(f"{about.name} was made for another state of {about.benchmark} (its hash differs).")
    request = Request(
        method=_target(submission),
        benchmark=about.benchmark,
        out=conditions.out / _RUNS,
        seed=document.spec.seed,
        device=conditions.device,
        workers=conditions.workers,
        timeout=conditions.timeout,
        memory=conditions.memory,
    )
    prepared = prepare(request)
    fence = "bubblewrap" if sandbox_available() is None else "auto"
    return replace(
        prepared,
        limits=replace(prepared.limits, fence=choose(fence)),
        shuffle=secrets.randbits(63),  # an order of its own, which nobody could know when the method was written
    )


def _target(submission: StoredSubmission) -> str:
    """What names the submitted code: a baseline of that version, an installed plug-in of that source, or the stored file."""
    method, path = submission.about.method, find_source(submission.folder, submission.about)
    if method.origin == "baseline" and find_method(method.name).spec.version != method.version:
        raise UsageError(
            f"the harness's {method.name} is not the submitted one any more; check out the commit of its run."
        )
    if method.origin == "plug-in":
        try:
            if find_method(method.target).spec.source_sha256 == method.source_sha256:
                return method.target
        except UsageError:  # it is not installed here
            pass
    return method.name if method.origin == "baseline" else f"{path}:{method.symbol}"


def _compared(track: Track, outputs: Answers, stored: Answers) -> Answers:
    """What a submission carries of a unit, and of the rest what this one happens to carry: maps, where they are small."""
    return {name: array for name, array in outputs.items() if track.carried(name) or name in stored}

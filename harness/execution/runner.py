"""The core loop: run what is left, journal each unit as it ends, seal."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from harness.execution.answers import OUTPUTS, StoredAnswers, measured, outputs_name
from harness.execution.environment import describe_environment
from harness.execution.executor import Executor, Notice, UnitProgress
from harness.execution.fence import choose, described, weakest
from harness.execution.job import JOBS, UnitEnd
from harness.execution.method_process import PRINTED, Limits
from harness.execution.plan import Plan
from harness.execution.run_files import JOURNAL, METHOD, PROTOCOL, SEALED
from harness.execution.run_result import RunResult, ScoredRun
from harness.execution.unit_server import KEPT, UNDER_WAY, workspace_folder
from harness.spec.result import Passes, RunDocument, Timing
from harness.spec.run import Unit
from harness.storage import (
    IntegrityError,
    Journal,
    RunLock,
    StorageError,
    content_id,
    remove_stale_temporaries,
    write_bytes,
    write_json,
)
from harness.tracks.base import Track
from harness.tracks.summary import summarize


class Observer(Protocol):
    """Is told how a run gets on."""

    def started(self, done: int, total: int) -> None: ...

    def progressed(self, progress: UnitProgress) -> None: ...

    def noticed(self, notice: Notice) -> None: ...

    def finished(self, end: UnitEnd) -> None: ...

    def sealing(self) -> None: ...


def execute(plan: Plan, track: Track, executor: Executor, observer: Observer, limits: Limits) -> RunResult:
    """Take a run to its end, from wherever it was left, and seal it in `run.json`.

    A kill at any instant loses at most the units that were under way. Raises RunLockedError if another
    process writes this run, IntegrityError if what it left is damaged, StorageError if the disk refuses.
    """
    _make(plan.folder / OUTPUTS)
    with RunLock(plan.folder), Journal.open(plan.folder / JOURNAL) as journal:
        for folder in (plan.folder, plan.folder / OUTPUTS):
            remove_stale_temporaries(folder)
        write_bytes(plan.folder / METHOD, plan.source)
        write_json(plan.folder / PROTOCOL, {"path": str(track.protocol.path.resolve())})
        remaining = unfinished(journal, plan)
        borders = {"fence": described(choose(limits.fence)), "readable": list(limits.readable)}
        about = {"method": plan.spec.method.name, "device": plan.spec.device, "limit": plan.spec.limit}
        about |= {"units": len(plan.units)}
        journal.append({"session": _now(), "run": plan.id, "about": about, **borders})
        observer.started(len(plan.units) - len(remaining), len(plan.units))
        with closing(executor.run(remaining)) as events:
            for event in events:
                if isinstance(event, UnitProgress):
                    observer.progressed(event)
                elif isinstance(event, Notice):
                    observer.noticed(event)
                else:
                    journal.append(event.canonical())
                    observer.finished(event)
        observer.sealing()
        journal.verify()
        result = _result(plan, track, journal, limits.threads)
        write_json(plan.folder / SEALED, result.document.canonical())
        _clear(plan.folder, result.document)
    return result


def discard(folder: Path) -> None:
    """Forget what an earlier run left, unless a live process is writing it (RunLockedError)."""
    if not folder.is_dir():
        return
    with RunLock(folder):
        for name in (SEALED, JOURNAL):
            (folder / name).unlink(missing_ok=True)
        for name in (OUTPUTS, UNDER_WAY, KEPT, PRINTED, JOBS):
            shutil.rmtree(folder / name, ignore_errors=True)


def forget_unbegun(folder: Path) -> None:
    """Remove the folder of a run in which no unit has ended; of any other nothing. Raises RunLockedError where a live
    process writes it."""
    with RunLock(folder):
        journal = folder / JOURNAL
        if not journal.is_file() or not any("unit" in record for record in Journal.read(journal)):
            shutil.rmtree(folder, ignore_errors=True)


def _clear(folder: Path, document: RunDocument) -> None:
    """Remove what units had done on their way, once their answers are sealed. What failed may go on from there."""
    for each in document.units:
        if each.status == "ok":
            shutil.rmtree(workspace_folder(folder, each.unit), ignore_errors=True)
    shutil.rmtree(folder / JOBS, ignore_errors=True)
    with contextlib.suppress(OSError):  # not there, or not empty
        (folder / UNDER_WAY).rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Could not make the folder {folder}: {error.strerror}.") from error


def unfinished(journal: Journal, plan: Plan) -> dict[str, Unit]:
    """The units of a plan that are still to be run: not those that are scored and whose stored answers are there, and not
    inapplicable ones.

    What failed is tried once more, because a time-out or a full memory may have had other causes. Raises IntegrityError
    for a journal of another run, or of another version of the harness.
    """
    done, stored = set(), _names_in(plan.folder / OUTPUTS)
    told = False
    for record in _of_this_run(journal, plan):
        told &= "session" not in record
        if "unit" not in record:
            continue
        if not told:  # one for all of a session: they were written by the same version
            _read_end(record, plan)
            told = True
        key, status = record["unit"]["unit"], record["unit"]["status"]
        if status == "not-applicable" or (status == "ok" and outputs_name(key) in stored):
            done.add(key)
        else:
            done.discard(key)
    return {key: unit for key, unit in plan.units.items() if key not in done}


def _names_in(folder: Path) -> set[str]:
    """The files of a folder; none where it is not there. A look at each of a million files would take longer."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except FileNotFoundError:
        return set()


def _of_this_run(records: Iterable[dict[str, Any]], plan: Plan) -> Iterator[dict[str, Any]]:
    for record in records:
        if record.get("run", plan.id) != plan.id:
            raise IntegrityError(f"{plan.folder / JOURNAL} belongs to another run; remove the folder or use --fresh.")
        yield record


def _read_end(record: dict[str, Any], plan: Plan) -> UnitEnd:
    try:
        return UnitEnd.of(record)
    except (ValidationError, KeyError) as error:
        raise IntegrityError(
            f"{plan.folder / JOURNAL} was written by another version of the harness; use --fresh."
        ) from error


def _all_passes(ends: Iterable[UnitEnd]) -> Passes | None:
    """Of all scored units together; None unless every one of them was counted, for a part would look like the whole."""
    counted = [end.passes for end in ends if end.result.status == "ok"]
    known = [each for each in counted if each is not None]
    if not known or len(known) < len(counted):
        return None
    return Passes(forward=sum(each.forward for each in known), backward=sum(each.backward for each in known))


def _result(plan: Plan, track: Track, journal: Journal, threads: int) -> RunResult:
    sessions = [record for record in journal if "session" in record]
    ends = [_read_end(record, plan) for record in journal if "unit" in record]
    done = {end.result.unit: end for end in ends if end.result.unit in plan.units}
    results = [done[key].result for key in plan.units]
    answers = StoredAnswers(plan.folder, results)
    found = {
        plan.units[key]: measured(track, plan.units[key], answers[key], done[key].result.outputs) for key in answers
    }
    inapplicable = tuple(plan.units[each.unit] for each in results if each.status == "not-applicable")
    document = RunDocument(
        id=plan.id,
        spec=plan.spec,
        environment=describe_environment(plan.spec.device, threads, {"run": plan.spec.seed}).model_copy(
            update=_borders(sessions, ends)
        ),
        units=tuple(results),
        summary=summarize(track, found, inapplicable),
        timing=Timing(
            started=sessions[0]["session"],
            seconds=sum(end.seconds for end in done.values()),
            resumed=len(sessions) - 1,
            unit_seconds={key: done[key].seconds for key in plan.units},
            passes=_all_passes(done.values()),
            unit_passes={key: passes for key in plan.units if (passes := done[key].passes) is not None},
        ),
    )
    sealed = document.model_copy(update={"seal": content_id(document.sealed_content)})
    return RunResult(sealed, plan.folder, answers, ScoredRun(track, plan.units, found, inapplicable))


def _borders(sessions: Iterable[dict[str, Any]], ends: Iterable[UnitEnd]) -> dict[str, Any]:
    """The weakest fence and all that was granted, of the sessions of a run and of the machines that units ran on. Older
    sessions have written down neither."""
    fences = {record.get("fence", described("none")) for record in sessions} | {end.fence for end in ends if end.fence}
    readable = {path for record in sessions for path in record.get("readable", ())}
    return {"fence": weakest(fences), "readable": tuple(sorted(readable))}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class SilentObserver:
    """For callers that need no progress."""

    def started(self, done: int, total: int) -> None:
        pass

    def progressed(self, progress: UnitProgress) -> None:
        pass

    def noticed(self, notice: Notice) -> None:
        pass

    def finished(self, end: UnitEnd) -> None:
        pass

    def sealing(self) -> None:
        pass

"""Runs and scores the units of one run, one after the other, in this process: trusted, it holds data, models and labels.

The same code serves a local unit process, a worker of a cluster and a job of a batch system.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Literal

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.execution.answers import measured, outputs_id, outputs_path
from harness.execution.claims import Claim, claimed
from harness.execution.ended import answers_path, ends, leave, read_end, readable
from harness.execution.environment import code_hash
from harness.execution.fence import choose, described
from harness.execution.importing import import_slow
from harness.execution.job import Job, UnitEnd
from harness.execution.method_process import MethodProcess
from harness.execution.plan import open_track, unit_result
from harness.execution.processes import peak_memory, processor_seconds
from harness.methods.client import MethodError
from harness.methods.conformance import Check
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of, load
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError, content_id, make_folder, write_arrays
from harness.tracks.base import Track, Workspace
from harness.tracks.summary import records

UNDER_WAY, KEPT = "under-way", "kept"
MOST_DEATHS = 2
"""A unit in which so many unit processes died is left, so that it does not take all workers with it. Where as many whole
workers were lost, which can happen to any unit, and it kept nothing in between, it waits until all others have ended."""
_GIBIBYTE = 2**30

Report = Callable[[str, float], None]
"""Takes what is being done in a unit and the share of it that is done, in [0, 1]."""


def workspace_folder(folder: Path, unit_id: str) -> Path:
    """Where a long unit keeps what it has done so far."""
    return folder / UNDER_WAY / unit_id[:16]


def kept_folder(folder: Path, unit_id: str) -> Path:
    """Where a unit keeps what pages show and no number rests on."""
    return folder / KEPT / unit_id[:16]


class UnitServer:
    """What every unit of the run needs. Opened by the first unit, whose end can tell what went wrong.

    method: holds the method's worker; by default one of its own behind the job's fence.
    """

    def __init__(self, job: Job, method: MethodProcess | None = None) -> None:
        self.job = job
        self.method = method or MethodProcess(job.method, job.limits, job.folder)

    def __enter__(self) -> UnitServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.method.close()

    def get_ready(self) -> None:
        """Start the method's worker, and read meanwhile what every unit needs. Raises what a unit would be stopped by."""
        if not self.method.spec.oracle:
            self.method.hide(self._protocol.private_folders())
            self.method.start()
        import_slow(self._track.slow_imports())
        code_hash(self._track)  # which is kept
        self._track.warm_up()

    def check(self) -> Iterator[Check]:
        """The conformance suite, in the worker that goes on with the units. Reference rows that read the outcomes have
        none to pass."""
        if not self.method.spec.oracle:
            self.method.hide(self._protocol.private_folders())
            self.method.start()
            with self.method.checking():
                yield from load(kind_of(self.method.spec.task).check)(self.method)

    def run(self, unit: Unit, report: Report = lambda what, share: None, *, in_company: bool = False) -> UnitEnd:
        """Run and score one unit; of a detached job, its end lies on disk when this returns, whoever ran it.

        in_company: others are waiting, so that a unit that kept nothing while `MOST_DEATHS` workers were lost with it is not
        begun again now.
        Raises SetApartError for such a one; UsageError, IntegrityError or StorageError where the run cannot go on.
        """
        key = content_id(unit.canonical())
        retries = math.inf if self.job.retries is None else self.job.retries
        most_lost = MOST_DEATHS if in_company and retries >= MOST_DEATHS else math.inf
        kept = partial(_kept, workspace_folder(self.job.folder, key))
        with claimed(self.job, key, unit.label, lambda: self._left(key) is not None, most_lost, kept) as claim:
            if claim is None:
                left = self._left(key)
                assert left is not None
                return read_end(left)
            given_up = self._given_up(unit, claim)
            end = self._run(unit, key, claim, report) if given_up is None else UnitEnd(given_up, 0.0)
            if self.job.detached:
                leave(self.job.folder, end)
            return end

    def _given_up(self, unit: Unit, claim: Claim) -> UnitResult | None:
        """The result of a unit that took too many workers with it already."""
        status = given_up(len(claim.deaths), claim.lost, self.job.retries)
        if status == "failed":
            reason = f"{claim.deaths[-1]}, {len(claim.deaths)} times: it is not tried again in this run"
            return unit_result(unit, status, reason)
        if status == "lost":
            were = "worker was" if claim.lost == 1 else "workers were"
            return unit_result(unit, status, f"{claim.lost} {were} lost while it was under way")
        return None

    def _left(self, key: str) -> Path | None:
        """The end that a worker has left of a unit."""
        return readable(ends(self.job.folder, key)) if self.job.detached else None

    def _run(self, unit: Unit, key: str, claim: Claim, report: Report) -> UnitEnd:
        started, began = self._clock(), time.monotonic()
        self.method.passes = None

        def tell(what: str, share: float) -> None:
            claim.report(what, share)
            report(what, share)

        try:
            self._check(unit)
            if not self.method.spec.oracle:
                self.method.start()
            workspace = Workspace(workspace_folder(self.job.folder, key), tell, kept_folder(self.job.folder, key))
            result = run_unit(self._track, self.method, unit, self._place, workspace)
        except (UsageError, IntegrityError, StorageError):
            raise
        except Exception as error:  # a fault of the harness must not take the run down with it
            traceback.print_exc()
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"the harness itself failed ({type(error).__name__}: {error}; {last.name}, line {last.lineno})"
            result = unit_result(unit, "failed", reason)
        self.method.keep_printed()
        return UnitEnd(
            result,
            self._clock() - started,
            self.method.passes,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            memory=round(peak_memory() / _GIBIBYTE, 3),
            fence=described(choose(self.job.limits.fence)),
            wall_seconds=time.monotonic() - began,
        )

    def _place(self, key: str, outputs: str) -> Path:
        """Where the answers of a unit go, by their content hash."""
        folder = self.job.folder
        path = answers_path(folder, key, outputs) if self.job.detached else outputs_path(folder, key)
        make_folder(path.parent)
        return path

    def _clock(self) -> float:
        """Seconds: of processors, where they do the work, so that costs do not depend on what else a machine does."""
        on_linux = sys.platform.startswith("linux")
        return processor_seconds() if on_linux and self.job.limits.device == "cpu" else time.monotonic()

    def _check(self, unit: Unit) -> None:
        """Raises IntegrityError if the unit was planned with another state of the benchmark's file.

        Before the method starts, because the benchmark knows which folders it must not read.
        """
        if unit.benchmark_hash != self._protocol.hash:
            raise IntegrityError(f"{self.job.benchmark} was changed after the run was planned; start it again.")
        self.method.hide(self._protocol.private_folders())

    @cached_property
    def _track(self) -> Track:
        return open_track(self._protocol, self.method.spec, self.job.limits.device, self.job.shuffle)

    @cached_property
    def _protocol(self) -> LoadedBenchmark:
        return load_protocol(self.job.benchmark)


def _kept(workspace: Path) -> str:
    """A name of the files that a unit has kept. Files that are written again change nothing, so that no unit gets on for
    ever."""
    found = os.walk(workspace)  # passes over what goes meanwhile
    return content_id(sorted(f"{folder}/{name}" for folder, _, names in found for name in names if name[0] != "."))


def given_up(deaths: int, lost: int, retries: int | None) -> Literal["failed", "lost"] | None:
    """How a unit ends that took too much with it: unit processes that died in it, and workers that were lost since it last
    kept anything; None where it is begun again."""
    if deaths >= MOST_DEATHS:
        return "failed"
    return "lost" if retries is not None and lost > retries else None


def run_unit(
    track: Track, method: MethodProcess, unit: Unit, place: Callable[[str, str], Path], workspace: Workspace
) -> UnitResult:
    """Ask, store, measure. The method's own failures become the unit's status. place: as `UnitServer._place`."""
    try:
        outputs = track.ask(unit, method, workspace)
    except MethodError as error:
        return unit_result(unit, error.status, error.reason)
    identity = outputs_id(outputs)
    write_arrays(place(content_id(unit.canonical()), identity), outputs)
    found = records(measured(track, unit, outputs, identity))
    return unit_result(unit, "ok", "").model_copy(update={"outputs": identity, "records": found})

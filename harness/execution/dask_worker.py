"""What runs on a worker of a dask cluster: unit processes, each as on the user's own machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from harness.execution.child import end_abandoned
from harness.execution.claims import note_death
from harness.execution.ended import ends
from harness.execution.job import read_job
from harness.execution.unit_client import UnitProcess, UnitProcessDiedError, UnitProcessToldToEndError
from harness.spec.run import Unit
from harness.storage import content_id


def dask_setup(worker: Any) -> None:
    """Called by dask in a worker's process that is given this module as its preload. An interrupt at the terminal is for
    the process that ends the cluster in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class WorkerStoppingError(Exception):
    """The worker was told to end; another one goes on with the unit."""


def run_unit(run: str, session: str, plain: Mapping[str, Any], *, in_company: bool) -> str:
    """Run a unit of the job that lies in a run's folder; returns the name of the file that says how it ended.

    Raises UnitProcessDiedError, WorkerStoppingError where the unit was given back, and as `UnitServer.run`.
    """
    folder, unit = Path(run), Unit.of(plain)
    with _PROCESSES.held(folder, session) as held:
        try:
            held.run(unit, in_company=in_company)
        except UnitProcessDiedError as error:
            if held.stopping or isinstance(error, UnitProcessToldToEndError):
                raise WorkerStoppingError(str(error)) from error
            note_death(folder, content_id(unit.canonical()), str(error))
            raise
    return next(ends(folder, content_id(unit.canonical()))).name


class UnitProcesses(WorkerPlugin):
    """Ends the unit processes of a worker with it, or when the run is over, so that units under way are given back."""

    def setup(self, worker: Any) -> None:
        """A batch system ends a job by signals to all of its processes. A worker with a nanny leaves them to that, which ends
        it in order; it would be gone before its units were given back."""
        self._before: Any = None
        if worker.nanny and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def teardown(self, worker: Any) -> None:
        _PROCESSES.close()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


class _Held:
    """A unit process and the thread that starts it: the kernel ends it when that thread ends, not a task's."""

    def __init__(self, folder: Path) -> None:
        self.process = UnitProcess(read_job(folder))
        self.stopping = False
        self._thread = ThreadPoolExecutor(1)

    def run(self, unit: Unit, *, in_company: bool) -> None:
        self._thread.submit(self.process.run, unit, in_company=in_company).result()

    def close(self) -> None:
        self.stopping = True
        self.process.close(give_back=True)
        self._thread.shutdown(wait=False)


class _Pool:
    """The unit processes of this worker: as many as it runs tasks at once, of one session of one run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session = ""
        self._idle: list[_Held] = []
        self._busy: list[_Held] = []

    @contextmanager
    def held(self, folder: Path, session: str) -> Iterator[_Held]:
        with self._lock:
            if session != self._session:
                old, self._idle, self._session = self._idle, [], session
                for each in old:
                    each.close()
                end_abandoned()
            held = self._idle.pop() if self._idle else _Held(folder)
            self._busy.append(held)
        try:
            yield held
        finally:
            with self._lock:
                self._busy.remove(held)
                if not held.stopping and session == self._session:
                    self._idle.append(held)
                else:
                    held.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._session = self._idle, [], ""
            for each in (*idle, *self._busy):
                each.close()


_PROCESSES = _Pool()

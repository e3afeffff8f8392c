"""The third seam: units in, how each ended out. Local processes here; a cluster changes nothing above."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from harness.execution.channel import ChannelClosedError, MalformedMessageError, Message
from harness.execution.child import ChildProcess, one_line
from harness.execution.method_process import Limits
from harness.execution.plan import unit_result
from harness.methods.discovery import FoundMethod
from harness.spec.errors import UsageError
from harness.spec.result import Passes, UnitResult, UnitStatus
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError

_RUN_STOPPERS: dict[str, type[Exception]] = {
    "UsageError": UsageError,
    "IntegrityError": IntegrityError,
    "StorageError": StorageError,
}


@dataclass(frozen=True)
class UnitEnd:
    """How a unit ended, how long it took, and what the method passed through networks, where it got any."""

    result: UnitResult
    seconds: float
    passes: Passes | None = None


@dataclass(frozen=True)
class UnitProgress:
    """How far a unit has come that is still running."""

    unit: str
    label: str
    what: str
    share: float


Event = UnitEnd | UnitProgress


class Executor(Protocol):
    """Runs units somewhere. The order in which they end is not fixed and changes no number.

    Closing the generator ends what is still running.
    """

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]: ...


@dataclass(frozen=True)
class Job:
    """What a unit process must know about the run."""

    benchmark: Path
    method: FoundMethod
    folder: Path
    limits: Limits
    shuffle: int = 0


class LocalExecutor:
    """Unit processes on this machine, each with a method worker beside it.

    A unit process that dies takes only its unit with it; a new one goes on with the next.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._job = job
        self._workers = workers

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        """Yield units as they end, and how far long ones have come. Raises UsageError, IntegrityError or StorageError where no unit can go on."""
        todo = _Queue(units)
        events: queue.Queue[Event | Exception] = queue.Queue()
        workers = [_Worker(self._job, todo, events) for _ in range(min(self._workers, len(units)))]
        for worker in workers:
            worker.start()
        try:
            left = len(units)
            while left:
                event = events.get()
                if isinstance(event, Exception):
                    raise event
                left -= isinstance(event, UnitEnd)
                yield event
        finally:
            todo.clear()
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join(timeout=15)


@dataclass(frozen=True)
class RefusingExecutor:
    """Runs nothing: every unit ends with the same status, for a method that fails its check."""

    status: UnitStatus
    reason: str

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        for unit in units.values():
            yield UnitEnd(unit_result(unit, self.status, f"the check failed: {self.reason}"), 0.0)


class _Queue:
    """Units by model, so that a process that has loaded and fitted a model goes on with it."""

    def __init__(self, units: Mapping[str, Unit]) -> None:
        self._lock = threading.Lock()
        self._waiting = dict(units)
        self._begun: set[str] = set()

    def take(self, model: str | None) -> tuple[str, Unit] | None:
        """The next unit: of the same model, else of one that nobody has begun, else any."""
        with self._lock:
            for wanted in (
                lambda unit: unit.model == model,
                lambda unit: unit.model not in self._begun,
                lambda unit: True,
            ):
                for key, unit in self._waiting.items():
                    if wanted(unit):
                        del self._waiting[key]
                        self._begun.add(unit.model)
                        return key, unit
        return None

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()


class _Worker(threading.Thread):
    """One unit process, kept busy and replaced when it dies."""

    def __init__(self, job: Job, todo: _Queue, events: queue.Queue[Event | Exception]) -> None:
        super().__init__(daemon=True)
        self._job, self._todo, self._events = job, todo, events
        self._child: ChildProcess | None = None
        self._owning = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> None:
        model: str | None = None
        try:
            while not self._stopping.is_set() and (taken := self._todo.take(model)):
                key, unit = taken
                model = unit.model
                self._events.put(self._end(key, unit))
        except Exception as error:  # whatever it is, the consumer must not wait for ever
            self._events.put(error)
        finally:
            self._close()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._stopping.set()
        self._close()

    def _end(self, key: str, unit: Unit) -> UnitEnd:
        try:
            child = self._child or self._open()
            child.channel.send(Message("run", {"unit": unit.canonical()}))
            while (reply := child.channel.receive()).what == "progress":
                self._events.put(UnitProgress(key, unit.label, reply.meta["what"], reply.meta["share"]))
        except (ChannelClosedError, MalformedMessageError):
            return UnitEnd(self._died(key, unit), 0.0)
        if reply.what == "stop":
            raise _RUN_STOPPERS[reply.meta["kind"]](reply.meta["reason"])
        passes = reply.meta["passes"]
        return UnitEnd(
            UnitResult.model_validate(reply.meta["result"]),
            reply.meta["seconds"],
            None if passes is None else Passes.model_validate(passes),
        )

    def _open(self) -> ChildProcess:
        import numpy as np

        threads = str(self._job.limits.threads)
        child = ChildProcess(
            "harness.execution.unit_process",
            environment={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            clean=False,
        )
        with self._owning:
            self._child = child
        if self._stopping.is_set():  # `stop` came before there was a process to end
            self._close()
            raise ChannelClosedError("the run is stopping")
        method = self._job.method
        meta = {
            "benchmark": str(self._job.benchmark.resolve()),
            "folder": str(self._job.folder.resolve()),
            "limits": asdict(self._job.limits),
            "shuffle": self._job.shuffle,
            "method": method.spec.canonical(),
            "module": method.module,
            "path": str(method.path),
        }
        child.channel.send(Message("open", meta, {"source": np.frombuffer(method.source, dtype=np.uint8)}))
        return child

    def _died(self, key: str, unit: Unit) -> UnitResult:
        child = self._child
        code = child.ended(wait=5.0) if child else None
        words = child.last_words(300).splitlines() if child else []
        self._close()
        detail = f": {one_line(words[-1])}" if words else ""
        return unit_result(unit, "failed", f"the unit process died (exit code {code}){detail}")

    def _close(self) -> None:
        with self._owning:
            child, self._child = self._child, None
        if child is not None:
            child.kill()

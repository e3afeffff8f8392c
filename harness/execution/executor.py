"""The third seam: units in, how each ended out. Local processes here; a cluster changes nothing above."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from harness.execution.child import ChildProcess
from harness.execution.job import Job, UnitEnd
from harness.execution.plan import unit_result
from harness.execution.unit_client import UnitProcess, UnitProcessDiedError
from harness.execution.waiting import Room, Waiting
from harness.methods.conformance import Check
from harness.spec.result import UnitStatus
from harness.spec.run import Unit
from harness.storage import StorageError


@dataclass(frozen=True)
class UnitProgress:
    """How far a unit has come that is still running."""

    unit: str
    label: str
    what: str
    share: float


@dataclass(frozen=True)
class Notice:
    """What keeps units waiting, and what a person can do about it."""

    text: str


_LONG = 5.0  # seconds of units, for which it is worth to start all processes at once
Event = UnitEnd | UnitProgress | Notice


class Executor(Protocol):
    """Runs units somewhere. The order in which they end is not fixed and changes no number.

    The answers of a unit lie in their place in the run's folder when its end is told. Closing the generator ends what is
    still running.
    """

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]: ...


class LocalExecutor:
    """Unit processes on this machine, each with a method worker beside it.

    A unit process that dies takes only its unit with it; a new one goes on with the next. Never more units are under way
    than fit into memory; one that needs more than there is runs alone. The first process may also check the method;
    further ones are then started when it has worked on units for as long as its start took, and those that are left would
    take it twice as long, since what is over sooner needs none; or at once, where past runs say that units take so long.
    """

    def __init__(self, job: Job, workers: int, room: Room | None = None) -> None:
        self._job = job
        self._room = room or Room()
        self._processes = [self._process(number) for number in range(workers)]
        self._started, self._patience = time.monotonic(), 0.0

    def start(self, ahead: ChildProcess | None = None) -> LocalExecutor:
        """Start the first process without waiting for it, and as many as memory allows where units are known to take long.
        ahead: one that was started already, without a graphics processor of its own; it is ended where it needs one."""
        self._started = time.monotonic()
        if ahead is not None and self._room.cards:
            ahead.kill()
            ahead = None
        self._processes[0].start(ahead)
        if sum(self._room.seconds.values()) > _LONG:
            for process in self._processes[1 : self._room.together]:
                with suppress(StorageError):  # told where it is needed
                    process.start()
        return self

    def check(self) -> Iterator[Check]:
        """The method's conformance suite. Raises UsageError, IntegrityError or StorageError where the run cannot go on."""
        try:
            yield from self._processes[0].check()
        except UnitProcessDiedError as error:
            yield Check("comes to the end of its check", str(error), "failed")
        self._patience = time.monotonic() - self._started

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for process in self._processes:
            process.close()

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        """Yield units as they end, and how far long ones have come. Raises UsageError, IntegrityError or StorageError where no unit can go on."""
        todo = _Queue(units, self._room)
        events: queue.Queue[Event | Exception] = queue.Queue()
        known = sum(self._room.seconds.get(key, 0.0) for key in units)
        patience = 0.0 if known > 2 * self._patience else self._patience  # so long that a second process gains time
        workers = [
            _Worker(process, todo, events, patience if number else 0.0)
            for number, process in enumerate(self._processes[: len(units)])
        ]
        try:
            for worker in workers:
                worker.start()
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
            self.close()
            for worker in workers:
                worker.join(timeout=15)

    def _process(self, number: int) -> UnitProcess:
        cards = self._room.cards
        return UnitProcess(self._job, {"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]} if cards else None)


CHECK_FAILED = "the check failed: "
"""How the reason of a unit begins that was not run, as the method failed its check."""


@dataclass(frozen=True)
class RefusingExecutor:
    """Runs nothing: every unit ends with the same status, for a method that fails its check."""

    status: UnitStatus
    reason: str

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        for unit in units.values():
            yield UnitEnd(unit_result(unit, self.status, f"{CHECK_FAILED}{self.reason}"), 0.0)


class _Queue:
    """What waits, for several threads."""

    def __init__(self, units: Mapping[str, Unit], room: Room | None = None) -> None:
        self._changed = threading.Condition()
        self._begun, self._ended = time.monotonic(), 0
        self._units = units
        self._waiting = Waiting(units, room or Room())

    def take(self, model: str | None) -> tuple[str, Unit] | None:
        """The next unit (`Waiting.take`). Waits where none fits; None where none is left."""
        with self._changed:
            while self._waiting:
                if (key := self._waiting.take(model)) is not None:
                    return key, self._units[key]
                self._changed.wait()
        return None

    def outlast(self, patience: float) -> None:
        """Return when units have been under way for so many seconds, and those that wait would take twice as long as that,
        at the pace so far; or when none waits."""
        with self._changed:
            while waiting := len(self._waiting):
                left = self._begun + patience * max(1.0, 2 * self._ended / waiting) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def give_back(self, key: str) -> None:
        """A unit has ended, and its memory is free."""
        with self._changed:
            self._waiting.give_back(key)
            self._ended += 1
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()


class _Worker(threading.Thread):
    """One unit process, kept busy and replaced when it dies."""

    def __init__(
        self, process: UnitProcess, todo: _Queue, events: queue.Queue[Event | Exception], patience: float
    ) -> None:
        super().__init__(daemon=True)
        self._process, self._todo, self._events, self._patience = process, todo, events, patience
        self._stopping = threading.Event()

    def run(self) -> None:
        model: str | None = None
        self._todo.outlast(self._patience)
        try:
            while not self._stopping.is_set() and (taken := self._todo.take(model)):
                key, unit = taken
                model = unit.model
                end = self._end(key, unit)
                self._todo.give_back(key)
                self._events.put(end)
        except Exception as error:  # whatever it is, the consumer must not wait for ever
            self._events.put(error)
        finally:
            self._process.close()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._stopping.set()
        self._process.close()

    def _end(self, key: str, unit: Unit) -> UnitEnd:
        def report(what: str, share: float) -> None:
            self._events.put(UnitProgress(key, unit.label, what, share))

        try:
            return self._process.run(unit, report)
        except UnitProcessDiedError as error:
            return UnitEnd(unit_result(unit, "failed", str(error)), 0.0)

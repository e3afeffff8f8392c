"""A unit process as who started it sees it: submit a unit, be told how it ended."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

from harness.execution.channel import ChannelClosedError, MalformedMessageError, Message
from harness.execution.child import ChildProcess, one_line, unit_child
from harness.execution.claims import SetApartError
from harness.execution.job import Job, UnitEnd
from harness.methods.conformance import Check
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError

_RUN_STOPPERS: dict[str, type[Exception]] = {
    "UsageError": UsageError,
    "IntegrityError": IntegrityError,
    "StorageError": StorageError,
    "SetApartError": SetApartError,
}
_GIVING_BACK_SECONDS = 5.0
TOLD_TO_END = 128 + signal.SIGTERM
"""Exit code of a unit process that gave its unit back."""


class UnitProcessDiedError(Exception):
    """The unit process ended without an answer; says how."""


class UnitProcessToldToEndError(UnitProcessDiedError):
    """Somebody else sent it SIGTERM, and it gave its unit back: a batch system signals all processes of a job."""


class UnitProcess:
    """A process with a `UnitServer`, started when it is first needed, and again after it died.

    environment: added to its own. One thread submits; `close` may come from another one.
    """

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        self._job = job
        self._environment = environment
        self._child: ChildProcess | None = None
        self._owning = threading.Lock()
        self._closed = threading.Event()

    def run(
        self,
        unit: Unit,
        report: Callable[[str, float], None] = lambda what, share: None,
        *,
        in_company: bool = False,
    ) -> UnitEnd:
        """Submit a unit and wait. Raises UnitProcessDiedError, and as `UnitServer.run`."""
        for reply in self._replies(Message("run", {"unit": unit.canonical(), "in_company": in_company})):
            if reply.what == "progress":
                report(reply.meta["what"], reply.meta["share"])
        return UnitEnd.of(reply.meta)

    def check(self) -> Iterator[Check]:
        """The method's conformance suite, in the worker that goes on with the units. Raises as `run`."""
        for reply in self._replies(Message("check")):
            if reply.what == "checked":
                yield Check(**reply.meta)

    def start(self, ahead: ChildProcess | None = None) -> None:
        """Start the process without waiting for it, so that it imports while others work. ahead: one that was started
        already (`unit_child`), with the same environment."""
        with contextlib.suppress(ChannelClosedError):  # whoever asks it for something is told why
            self._open(ahead)

    def close(self, *, give_back: bool = False) -> None:
        """End the process for good, whatever it is doing; with `give_back` it may first say that its unit is free."""
        self._closed.set()
        self._end(give_back=give_back)

    def _replies(self, message: Message) -> Iterator[Message]:
        """What comes back, up to the end of what was asked for."""
        try:
            child = self._child or self._open()
            child.channel.send(message)
            while (reply := child.channel.receive()).what not in ("done", "stop"):
                yield reply
        except (ChannelClosedError, MalformedMessageError) as error:
            raise self._death() from error
        if reply.what == "stop":
            raise _RUN_STOPPERS[reply.meta["kind"]](reply.meta["reason"])
        yield reply

    def _open(self, ahead: ChildProcess | None = None) -> ChildProcess:
        import numpy as np

        child = ahead or unit_child(self._job.limits.threads, self._environment)
        with self._owning:
            self._child = child
        if self._closed.is_set():  # `close` came before there was a process to end
            self._end()
            raise ChannelClosedError("the run is stopping")
        source = np.frombuffer(self._job.method.source, dtype=np.uint8)
        child.channel.send(Message("open", self._job.canonical(), {"source": source}))
        return child

    def _death(self) -> UnitProcessDiedError:
        child = self._child
        code = child.ended(wait=5.0) if child else None
        words = child.last_words(300).splitlines() if child else []
        self._end()
        detail = f": {one_line(words[-1])}" if words else ""
        kind = UnitProcessToldToEndError if code == TOLD_TO_END else UnitProcessDiedError
        return kind(f"the unit process died (exit code {code}){detail}")

    def _end(self, *, give_back: bool = False) -> None:
        with self._owning:
            child, self._child = self._child, None
        if child is not None:
            if give_back:
                child.ask_to_end(_GIVING_BACK_SECONDS)
            child.kill()

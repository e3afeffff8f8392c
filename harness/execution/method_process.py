"""The `MethodClient` that keeps a method in a worker process of its own."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.data.private import private_folders
from harness.data.scratch import offers_scratch, private_scratch
from harness.execution.channel import ChannelClosedError, MalformedMessageError, Message
from harness.execution.child import ChildProcess, one_line
from harness.execution.fence import beside, choose, openings
from harness.execution.sandbox import MOST_PROCESSES, Sandbox
from harness.methods.client import MethodError
from harness.methods.discovery import FoundMethod
from harness.spec.kinds import kind_of
from harness.spec.method import MethodSpec
from harness.spec.result import Passes
from harness.storage import StorageError, write_bytes
from harness.tracks.passes import together

if TYPE_CHECKING:
    import numpy as np

CHECK_SECONDS = 60.0
"""What a call may take at most while a method is checked."""
_STARTUP_SECONDS = 120.0
_ANSWER_SLACK = 1 << 20
_LIFE_CHECK_SECONDS = 0.5
_MOST_PRINTED = 100_000  # bytes of one worker's output that are kept
_MOST_PASSES = 10**12  # of one call: more is no count


PRINTED = "printed"
"""Folder of a run with what its method printed, a file for each worker."""


@dataclass(frozen=True)
class Limits:
    """What a method may use for one call; its worker's fence (`execution.fence`), and what else it may read."""

    seconds: float = 300.0
    gibibytes: float = 8.0
    threads: int = 1
    device: str = "cpu"
    fence: str = "auto"
    readable: tuple[str, ...] = ()


class _CrowdedError(Exception):
    """A method in a sandbox has started more processes than it may."""


class MethodProcess:
    """Starts a worker when it is first needed, and again after one that crashed, hung or ran wild."""

    def __init__(self, method: FoundMethod, limits: Limits, run_folder: Path | None = None) -> None:
        self.state: str | None = None
        self._hidden = (*private_folders(), *(runs_around(run_folder, method) if run_folder else ()))
        self._method = method
        self._limits = limits
        self._fence = (
            choose("auto") if limits.fence == "auto" else limits.fence
        )  # others were tried when it was asked for
        self._child: ChildProcess | None = None
        self._loaded = self._asked = False
        self.passes: Passes | None = None
        self._run_folder = run_folder
        self._kept = b""
        self.printed = ""
        """What the method has printed in workers that were closed: of each the end, if it is long."""

    @property
    def spec(self) -> MethodSpec:
        return self._method.spec

    def call(
        self, what: str, arrays: Mapping[str, np.ndarray], *, seed: int, meta: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """See MethodClient. An exception in the method leaves the worker alive; anything worse ends it."""
        child = self._child if self._child and self._loaded else self._start()
        self._asked = True
        reply = self._exchange(child, Message(what, {**(meta or {}), "seed": seed}, arrays), self._limits.seconds)
        self.passes = together(self.passes, _counted(reply))
        return dict(reply.arrays)

    def begin_anew(self) -> None:
        """See MethodClient. A worker in which its file cannot be run twice is ended, for a new one."""
        self.state = None
        if self._asked and self._child is not None:
            with contextlib.suppress(MethodError):
                self._load(self._child)

    @contextmanager
    def checking(self) -> Iterator[MethodProcess]:
        """Calls within are those of a check: none is given long, and what comes after it begins anew."""
        limits = self._limits
        self._limits = replace(limits, seconds=min(limits.seconds, CHECK_SECONDS))
        try:
            yield self
        finally:
            self._limits, self.state, self.passes = limits, None, None

    def close(self) -> None:
        """End the worker and everything it started."""
        if self._child is not None:
            self.keep_printed()
            if printed := self._child.last_words(_MOST_PRINTED):
                self.printed += f"{printed}\n"
            self._child.kill()
        self._child, self._loaded, self.state = None, False, None

    def keep_printed(self) -> None:
        """Copy what the method has printed so far into the run's folder, where users find it: the end of it, if it is long.

        Each worker has a file of its own, so that several never wait for each other.
        """
        if self._child is None or self._run_folder is None:
            return
        printed = self._child.last_words(_MOST_PRINTED).encode()
        if printed and printed != self._kept:
            folder = self._run_folder / PRINTED
            with contextlib.suppress(OSError, StorageError):  # a full disk is told by what cannot do without
                folder.mkdir(exist_ok=True)
                write_bytes(folder / f"{self._child.folder.name}.log", printed + b"\n")
            self._kept = printed

    def __enter__(self) -> MethodProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hide(self, folders: tuple[str, ...]) -> None:
        """Close further folders to the method. A worker that runs already must not have needed it."""
        new = tuple(folder for folder in folders if folder not in self._hidden)
        if new and self._child is not None:
            raise ValueError(f"the worker runs already and may read {new[0]}")
        self._hidden = (*self._hidden, *new)

    def start(self) -> None:
        """Start the worker without waiting for it, so that it imports while others work."""
        if self._child is None:
            threads = str(self._limits.threads)
            # CUDA reserves far more addresses than it uses: a limit on addresses would forbid it altogether.
            memory = math.inf if self._limits.device == "cuda" else self._limits.gibibytes
            readable, hidden = self._borders()
            self._child = ChildProcess(
                "harness.execution.worker",
                (str(memory), threads, self._fence),
                {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
                sandbox=Sandbox(hidden, self._limits.device, readable) if self._fence == "bubblewrap" else None,
            )
            borders = {"device": self._limits.device, "readable": readable, "hidden": hidden}
            with contextlib.suppress(ChannelClosedError):  # its first answer tells why
                self._child.channel.send(Message("borders", borders))

    def _borders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the method may read beside what Python needs, and what it may not, wherever that lies."""
        hidden = tuple(os.path.realpath(each) for each in (*self._hidden, str(private_scratch())))
        fenced = self._fence == "landlock" and self._method.module is None  # a sandbox shows less
        own = beside(self._method.path, hidden) if fenced else []
        granted = (path for root in self._limits.readable for path in openings(root, hidden))
        return (str(offers_scratch().resolve()), *own, *granted), hidden

    def _start(self) -> ChildProcess:
        self.start()
        child = self._child
        assert child is not None
        try:
            child.channel.receive(time.monotonic() + _STARTUP_SECONDS)
        except (ChannelClosedError, MalformedMessageError, TimeoutError) as error:
            words = child.last_words(300).splitlines() or [type(error).__name__]
            reason = f"the worker did not start: {one_line(words[-1])}"
            self.close()
            raise MethodError("failed", reason) from error
        self._load(child)
        return child

    def _load(self, child: ChildProcess) -> None:
        import numpy as np

        meta = {
            "module": self._method.module,
            "path": str(self._method.path.resolve()),
            "symbol": self.spec.symbol,
            "host": kind_of(self.spec.task).host,
            "device": self._limits.device,
            "seed": 0,
        }
        source = {"source": np.frombuffer(self._method.source, dtype=np.uint8)}
        self._exchange(child, Message("load", meta, source), self._limits.seconds)
        self._loaded, self._asked = True, False

    def _exchange(self, child: ChildProcess, message: Message, seconds: float) -> Message:
        deadline = time.monotonic() + seconds
        sent = sum(array.nbytes for array in message.arrays.values())
        try:
            child.channel.send(message, deadline)
            self._await_answer(child, deadline)
            reply = child.channel.receive(deadline, max_bytes=sent + _ANSWER_SLACK)
        except TimeoutError as error:
            self.close()
            raise MethodError("timeout", f"{message.what} did not answer within {seconds:g} s") from error
        except MalformedMessageError as error:
            self.close()
            raise MethodError("invalid", f"its answer was malformed: {error}") from error
        except _CrowdedError as error:
            self.close()
            raise MethodError("failed", f"it ran more than {MOST_PROCESSES} processes and threads") from error
        except ChannelClosedError as error:
            problem = _death(child, message.what)
            self.close()
            raise problem from error
        if reply.what == "answer":
            return reply
        reported = _reported(reply)
        self.state = None  # after an exception, what the method has learnt is unknown: it is fitted anew
        if reported is None or message.what == "load":
            self.close()
        raise reported or MethodError("invalid", "its answer was malformed")

    def _await_answer(self, child: ChildProcess, deadline: float) -> None:
        """Return when there is something to read.

        Raises TimeoutError, _CrowdedError, and ChannelClosedError if the worker is dead: a process that a method forked
        keeps the worker's end open, so the connection alone does not tell.
        """
        while not child.channel.readable(min(_LIFE_CHECK_SECONDS, deadline - time.monotonic())):
            if child.ended() is not None and not child.channel.readable(0):
                raise ChannelClosedError("the worker ended")
            if self._fence == "bubblewrap" and child.count() > MOST_PROCESSES:
                raise _CrowdedError
            if time.monotonic() >= deadline:
                raise TimeoutError


def runs_around(run_folder: Path, method: FoundMethod) -> tuple[str, ...]:
    """The folder of a run, and that of all runs beside it (some hold labels) unless the method's own file lies there."""
    run, runs = run_folder.resolve(), run_folder.resolve().parent
    return (str(run),) if runs in method.path.resolve().parents else (str(run), str(runs))


def _counted(reply: Message) -> Passes | None:
    """What an answer says of passes; None where it says nothing, or nothing that makes sense."""
    try:
        counted = Passes.model_validate(reply.meta["passes"], strict=True)
    except (KeyError, ValidationError):
        return None
    return counted if max(counted.forward, counted.backward) <= _MOST_PASSES else None


def _reported(reply: Message) -> MethodError | None:
    """The exception that a worker reports, or None for anything that no worker of ours says."""
    status = reply.meta.get("status")
    reason = one_line(str(reply.meta.get("reason", "")))
    if reply.what != "problem" or status not in ("failed", "invalid", "not-applicable", "out-of-memory"):
        return None
    error = MethodError(status, reason)
    if hasattr(error, "add_note"):
        error.add_note(str(reply.meta.get("detail", ""))[:4000])
    return error


def _death(child: ChildProcess, what: str) -> MethodError:
    code = child.ended(wait=5.0)
    if code is None:
        return MethodError("failed", f"{what} closed its connection to the harness")
    if code >= 0:
        return MethodError("failed", f"{what} ended the process with exit code {code} instead of answering")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if "MemoryError" in child.last_words() or "bad_alloc" in child.last_words():
        return MethodError("out-of-memory", "it asked for more memory than its limit")
    return MethodError("failed", f"{what} crashed ({name})")

"""The `MethodClient` that keeps a method in a worker process of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.execution.channel import ChannelClosedError, MalformedMessageError, Message
from harness.execution.child import ChildProcess
from harness.methods.client import MethodError
from harness.methods.discovery import FoundMethod
from harness.spec.method import MethodSpec

if TYPE_CHECKING:
    import numpy as np

_STARTUP_SECONDS = 120.0
_ANSWER_SLACK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a method may use for one call."""

    seconds: float = 300.0
    gibibytes: float = 8.0
    threads: int = 1
    device: str = "cpu"


class MethodProcess:
    """Starts a worker when it is first needed, and again after one that crashed, hung or ran wild."""

    def __init__(self, method: FoundMethod, limits: Limits) -> None:
        self.state: str | None = None
        self._method = method
        self._limits = limits
        self._child: ChildProcess | None = None
        self._loaded = False

    @property
    def spec(self) -> MethodSpec:
        return self._method.spec

    def call(
        self, what: str, arrays: Mapping[str, np.ndarray], *, seed: int, meta: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """See MethodClient. An exception in the method leaves the worker alive; anything worse ends it."""
        child = self._child if self._child and self._loaded else self._start()
        reply = self._exchange(child, Message(what, {**(meta or {}), "seed": seed}, arrays), self._limits.seconds)
        return dict(reply.arrays)

    def close(self) -> None:
        """End the worker and everything it started."""
        if self._child is not None:
            self._child.kill()
        self._child, self._loaded, self.state = None, False, None

    def __enter__(self) -> MethodProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the worker without waiting for it, so that it imports while others work."""
        if self._child is None:
            threads = str(self._limits.threads)
            self._child = ChildProcess(
                "harness.execution.worker",
                (str(self._limits.gibibytes), threads),
                {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            )

    def _start(self) -> ChildProcess:
        import numpy as np

        self.start()
        child = self._child
        assert child is not None
        try:
            child.channel.receive(time.monotonic() + _STARTUP_SECONDS)
        except (ChannelClosedError, MalformedMessageError, TimeoutError) as error:
            reason = f"the worker did not start: {child.last_words(300) or error}"
            self.close()
            raise MethodError("failed", reason) from error
        meta = {
            "module": self._method.module,
            "symbol": self.spec.symbol,
            "device": self._limits.device,
            "seed": 0,
        }
        source = {"source": np.frombuffer(self._method.source, dtype=np.uint8)}
        self._exchange(child, Message("load", meta, source), self._limits.seconds)
        self._loaded = True
        return child

    def _exchange(self, child: ChildProcess, message: Message, seconds: float) -> Message:
        deadline = time.monotonic() + seconds
        sent = sum(array.nbytes for array in message.arrays.values())
        try:
            child.channel.send(message, deadline)
            reply = child.channel.receive(deadline, max_bytes=sent + _ANSWER_SLACK)
        except TimeoutError as error:
            self.close()
            raise MethodError("timeout", f"{message.what} did not answer within {seconds:g} s") from error
        except MalformedMessageError as error:
            self.close()
            raise MethodError("invalid", f"its answer was malformed: {error}") from error
        except ChannelClosedError as error:
            problem = _death(child, message.what)
            self.close()
            raise problem from error
        if reply.what == "answer":
            return reply
        self._after_problem(message.what)
        raise _reported(reply)

    def _after_problem(self, what: str) -> None:
        """After an exception the method's state is unknown: it is fitted anew, and reloaded if need be."""
        self.state = None
        if what == "load":
            self.close()


def _reported(reply: Message) -> MethodError:
    status = reply.meta.get("status")
    reason = str(reply.meta.get("reason", ""))[:500]
    if status not in ("failed", "not-applicable", "out-of-memory"):
        return MethodError("invalid", "its answer was malformed")
    error = MethodError(status, reason)
    error.add_note(str(reply.meta.get("detail", ""))[:4000]) if hasattr(error, "add_note") else None
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

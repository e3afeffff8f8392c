"""Runs without processes of their own, for tests of what a run gives and not of how it is kept apart.

The code is that of the unit process and of the worker, called here; what is not here is what a process brings: time and
memory limits, a fence, a clean environment. Starting the two takes seconds, since both import torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from harness.execution.channel import Message
from harness.execution.executor import _Queue
from harness.execution.job import Job, UnitEnd
from harness.execution.method_process import _counted, _reported
from harness.execution.unit_server import UnitServer
from harness.execution.worker import _answer, _Host
from harness.methods.client import MethodError
from harness.spec.kinds import kind_of
from harness.spec.run import Unit
from harness.tracks.passes import together


class MethodHere:
    """As `MethodProcess`, without the process."""

    printed = ""

    def __init__(self, method, limits=None, run_folder=None, scratch=None):
        self.state, self.passes, self._method, self._host, self._used = None, None, method, None, False
        self._own = None if scratch else tempfile.TemporaryDirectory()
        self._scratch = Path(scratch or self._own.name)

    @property
    def spec(self):
        return self._method.spec

    def start(self): ...
    def hide(self, folders): ...

    def checking(self):
        return nullcontext(self)

    def keep_printed(self): ...

    def call(self, what, arrays, *, seed, meta=None):
        if self._host is None:
            self.load()
        self._used = True
        return self._asked(Message(what, {**(meta or {}), "seed": seed}, dict(arrays)))

    def begin_anew(self):
        self.state = None
        if self._used:
            self.load()

    def close(self):
        self._host = self.state = None
        if self._own is not None:
            self._own.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def load(self):
        self._host, self._used = self._host or _Host(self._scratch), False
        facts = {
            "module": self._method.module,
            "symbol": self.spec.symbol,
            "host": kind_of(self.spec.task).host,
            "seed": 0,
        }
        source = {"source": np.frombuffer(self._method.source, dtype=np.uint8)}
        try:
            self._asked(Message("load", {**facts, "device": "cpu"}, source))
        except MethodError:
            self._host = None
            raise

    def _asked(self, message):
        reply = _answer(self._host, message)
        if reply.what != "answer":
            self.state = None
            raise _reported(reply)
        self.passes = together(self.passes, _counted(reply))
        return dict(reply.arrays)


class HereExecutor:
    """As `LocalExecutor` with one worker: each unit as the unit process runs it."""

    def __init__(self, job: Job, workers: int, room=None) -> None:
        self._job = job

    def start(self, ahead=None):
        return self

    def check(self):
        with UnitServer(self._job, MethodHere(self._job.method)) as server:
            yield from server.check()

    def close(self): ...

    def run(self, units: Mapping[str, Unit]) -> Generator[UnitEnd, None, None]:
        todo, model = _Queue(units), None
        with UnitServer(self._job, MethodHere(self._job.method)) as server:
            while taken := todo.take(model):
                model = taken[1].model
                yield server.run(taken[1])


class UnitProcessHere:
    """As `UnitProcess`, without the process."""

    def __init__(self, job: Job, environment=None) -> None:
        self._server = UnitServer(job, MethodHere(job.method))

    def run(self, unit: Unit, report=lambda what, share: None) -> UnitEnd:
        return self._server.run(unit, report)

    def close(self, *, give_back: bool = False) -> None:
        self._server.method.close()

"""The unit process: trusted. It holds data, models and labels, asks the method worker, and scores."""

from __future__ import annotations

import math
import socket
import sys
import time
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.execution.answers import measured, outputs_id, outputs_path
from harness.execution.channel import Channel, ChannelClosedError, Message
from harness.execution.guard import adopt_orphans, hide_memory
from harness.execution.method_process import Limits, MethodProcess
from harness.execution.plan import open_track, unit_result
from harness.execution.processes import processor_seconds
from harness.methods.client import MethodError
from harness.methods.discovery import FoundMethod
from harness.spec.errors import UsageError
from harness.spec.method import read_method
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError, content_id, write_arrays
from harness.tracks.base import Track, Workspace
from harness.tracks.summary import records

UNDER_WAY, KEPT = "under-way", "kept"
_SECONDS_BETWEEN_REPORTS = 0.5


def main(fd: int, args: list[str]) -> None:
    """Serve one run: first its description, then units one by one, until the other end closes."""
    adopt_orphans()
    hide_memory()
    channel = Channel(socket.socket(fileno=fd))
    try:
        description = channel.receive()
        limits = Limits(**description.meta["limits"])
        with MethodProcess(_method(description), limits, Path(description.meta["folder"])) as method:
            server = _UnitServer(description, method)
            while True:
                unit = Unit.model_validate(channel.receive().meta["unit"])
                channel.send(_reply(server, unit, _Reports(channel).send))
    except ChannelClosedError:
        return


class _UnitServer:
    """What every unit of the run needs. Opened by the first unit, whose reply can tell what went wrong."""

    def __init__(self, description: Message, method: MethodProcess) -> None:
        self.method = method
        self.folder = Path(description.meta["folder"])
        self._benchmark = Path(description.meta["benchmark"])
        self._device = description.meta["limits"]["device"]
        self._shuffle = description.meta["shuffle"]

    def clock(self) -> float:
        """Seconds: of processors, where they do the work, so that costs do not depend on what else a machine does."""
        on_linux = sys.platform.startswith("linux")
        return processor_seconds() if on_linux and self._device == "cpu" else time.monotonic()

    @cached_property
    def track(self) -> Track:
        return open_track(self._protocol, self.method.spec, self._device, self._shuffle)

    def check(self, unit: Unit) -> None:
        """Raises IntegrityError if the unit was planned with another state of the benchmark's file.

        Before the method starts, because the benchmark knows which folders it must not read.
        """
        if unit.benchmark_hash != self._protocol.hash:
            raise IntegrityError(f"{self._benchmark} was changed after the run was planned; start it again.")
        self.method.hide(self._protocol.private_folders())

    @cached_property
    def _protocol(self) -> LoadedBenchmark:
        return load_protocol(self._benchmark)


def workspace_folder(folder: Path, unit_id: str) -> Path:
    """Where a long unit keeps what it has done so far."""
    return folder / UNDER_WAY / unit_id[:16]


def kept_folder(folder: Path, unit_id: str) -> Path:
    """Where a unit keeps what pages show and no number rests on."""
    return folder / KEPT / unit_id[:16]


class _Reports:
    """Tells the other end how far a unit has come, not too often."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._last = -math.inf

    def send(self, what: str, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = now
            self._channel.send(Message("progress", {"what": what, "share": share}))


def _method(description: Message) -> FoundMethod:
    meta = description.meta
    return FoundMethod(
        read_method(meta["method"]),
        description.arrays["source"].tobytes(),
        Path(meta["path"]),
        meta["module"],
    )


def _reply(server: _UnitServer, unit: Unit, report: Callable[[str, float], None]) -> Message:
    """Run and score one unit. What the run cannot go on with is sent as a verb of its own."""
    started = server.clock()
    server.method.take_passes()
    try:
        server.check(unit)
        if not server.method.spec.oracle:
            server.method.start()
        key = content_id(unit.canonical())
        workspace = Workspace(workspace_folder(server.folder, key), report, kept_folder(server.folder, key))
        result = run_unit(server.track, server.method, unit, server.folder, workspace)
    except (UsageError, IntegrityError, StorageError) as error:
        return Message("stop", {"kind": type(error).__name__, "reason": str(error)})
    except Exception as error:  # a fault of the harness must not take the run down with it
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"the harness itself failed ({type(error).__name__}: {error}; {last.name}, line {last.lineno})"
        result = unit_result(unit, "failed", reason)
    server.method.keep_printed()
    passes = server.method.take_passes()
    return Message(
        "done",
        {
            "result": result.canonical(),
            "seconds": server.clock() - started,
            "passes": None if passes is None else passes.canonical(),
        },
    )


def run_unit(track: Track, method: MethodProcess, unit: Unit, folder: Path, workspace: Workspace) -> UnitResult:
    """Ask, store, measure. The method's own failures become the unit's status."""
    try:
        outputs = track.ask(unit, method, workspace)
    except MethodError as error:
        return unit_result(unit, error.status, error.reason)
    write_arrays(outputs_path(folder, content_id(unit.canonical())), outputs)
    identity = outputs_id(outputs)
    found = records(measured(track, unit, outputs, identity))
    return unit_result(unit, "ok", "").model_copy(update={"outputs": identity, "records": found})

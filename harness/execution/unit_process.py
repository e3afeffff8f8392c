"""The unit process: trusted. It holds data, models and labels, asks the method worker, and scores."""

from __future__ import annotations

import socket
import time
import traceback
from pathlib import Path

from harness.data.catalog import load_protocol
from harness.execution.channel import Channel, ChannelClosedError, Message
from harness.execution.guard import die_with_parent
from harness.execution.method_process import Limits, MethodProcess
from harness.execution.plan import open_track, unit_result
from harness.methods.client import MethodError
from harness.methods.discovery import FoundMethod
from harness.spec.errors import UsageError
from harness.spec.method import MethodSpec
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError, array_id, content_id, write_arrays
from harness.tracks.base import Outputs, Track

OUTPUTS = "outputs"


def main(fd: int, args: list[str]) -> None:
    """Serve one run: first its description, then units one by one, until the other end closes."""
    die_with_parent()
    channel = Channel(socket.socket(fileno=fd))
    try:
        description = channel.receive()
        limits = Limits(**description.meta["limits"])
        with MethodProcess(_method(description), limits) as method:
            if not method.spec.oracle:
                method.start()
            protocol = load_protocol(Path(description.meta["benchmark"]))
            track = open_track(protocol, method.spec, limits.device)
            folder = Path(description.meta["folder"])
            while True:
                unit = Unit.model_validate(channel.receive().meta["unit"])
                channel.send(_reply(track, method, unit, folder))
    except ChannelClosedError:
        return


def outputs_path(folder: Path, unit_id: str) -> Path:
    """Where the method's answers of a unit are stored."""
    return folder / OUTPUTS / f"{unit_id[:16]}.npz"


def outputs_id(outputs: Outputs) -> str:
    """Content hash of a unit's answers, whatever file they are in."""
    return content_id({name: array_id(array) for name, array in outputs.items()})


def _method(description: Message) -> FoundMethod:
    meta = description.meta
    return FoundMethod(
        MethodSpec.model_validate(meta["method"]),
        description.arrays["source"].tobytes(),
        Path(meta["path"]),
        meta["module"],
    )


def _reply(track: Track, method: MethodProcess, unit: Unit, folder: Path) -> Message:
    """Run and score one unit. What the run cannot go on with is sent as a verb of its own."""
    started = time.monotonic()
    try:
        result = run_unit(track, method, unit, folder)
    except (UsageError, IntegrityError, StorageError) as error:
        return Message("stop", {"kind": type(error).__name__, "reason": str(error)})
    except Exception as error:  # a fault of the harness must not take the run down with it
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"the harness itself failed ({type(error).__name__}: {error}; {last.name}, line {last.lineno})"
        result = unit_result(unit, "failed", reason)
    return Message("done", {"result": result.canonical(), "seconds": time.monotonic() - started})


def run_unit(track: Track, method: MethodProcess, unit: Unit, folder: Path) -> UnitResult:
    """Exercise, store, score. The method's own failures become the unit's status."""
    try:
        outputs = track.run(unit, method)
    except MethodError as error:
        return unit_result(unit, error.status, error.reason)
    path = outputs_path(folder, content_id(unit.canonical()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, outputs)
    result = unit_result(unit, "ok", "")
    return result.model_copy(update={"outputs": outputs_id(outputs), "records": track.score(unit, outputs)})

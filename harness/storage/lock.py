"""One writer for each run directory.

The lock is a file that exists: it is created exclusively, which is atomic between processes and between
hosts, and names its owner. A lock whose owner died on this host is removed, then created like any other.
Removing is the one delicate step: whoever removes a lock file holds `flock` on it and has checked, after
getting it, that the path still means this very file. So a slow process can never remove the new lock of a
faster one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from harness.storage.canonical import canonical_json
from harness.storage.errors import RunLockedError, StorageError, reason

LOCK_NAME = "run.lock"

_WRITING_SECONDS = 1.0  # how long a lock file may be without its owner's name
_LARGEST_PID = 1 << 22  # of any Linux


class RunLock:
    """Context manager that holds the lock of one existing run directory.

    Entering raises `RunLockedError` if another process, or another lock of this one, holds it, and
    `StorageError` if the lock file cannot be written. It never waits for the other process. A lock of a
    process on this host that has ended is taken over; one of another host (or of another container) is
    never judged from here.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.path = self.directory / LOCK_NAME
        self._owner: _Owner | None = None

    def __enter__(self) -> RunLock:
        try:
            self._acquire()
        except OSError as error:
            raise StorageError(f"Could not lock {self.directory}: {reason(error)}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        owner, self._owner = self._owner, None
        # A forked child leaves its parent's lock alone; so does a process whose lock was deleted by hand.
        # If the file cannot be removed it is taken over once this process has ended: no reason to fail a run.
        if owner is not None and owner.pid == os.getpid():
            with suppress(OSError):
                if _read(self.path) == owner:
                    self.path.unlink()

    def _acquire(self) -> None:
        owner = _this_process()
        deadline = time.monotonic() + _WRITING_SECONDS
        while not _create(self.path, owner):
            found = _read(self.path)
            if found is not None and _has_ended(found, owner):
                _remove_ended(self.path, owner)
            elif found is not None or time.monotonic() > deadline:
                raise RunLockedError(_explain(self.path, found, owner))
            else:
                time.sleep(0.01)  # the owner is just writing its name, or has just given the lock back
        self._owner = owner


class _Owner(NamedTuple):
    """A process, named so that no other one is taken for it."""

    host: str
    space: str  # the PID namespace: containers can share a host name, but number their processes apart
    pid: int
    started: str  # boot and clock tick, to tell it from a later process with its number; empty if unknown


def _create(path: Path, owner: _Owner) -> bool:
    """Create the lock for `owner`; False if there is one. A failed attempt leaves none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(canonical_json(owner._asdict()).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _remove_ended(path: Path, here: _Owner) -> None:
    """Remove the lock of an ended process, unless another process just did."""
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not _same_file(path.stat(), os.fstat(stream.fileno())):
                return
            found = _parse(stream.read())
            if found is not None and _has_ended(found, here):
                path.unlink()
    except FileNotFoundError:
        return


def _read(path: Path) -> _Owner | None:
    """The owner a lock file names; None if it names none (yet) or is not there."""
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None


def _parse(data: bytes) -> _Owner | None:
    try:
        owner = _Owner(**json.loads(data))
    except (ValueError, TypeError):
        return None
    texts = (owner.host, owner.space, owner.started)
    valid = isinstance(owner.pid, int) and 0 < owner.pid <= _LARGEST_PID
    return owner if valid and all(isinstance(text, str) for text in texts) else None


def _has_ended(owner: _Owner, here: _Owner) -> bool:
    """Whether `owner` has certainly ended, as seen by the process `here`."""
    if (owner.host, owner.space) != (here.host, here.space):
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is alive and belongs to another user
    started = _started(owner.pid)
    return bool(started and owner.started) and started != owner.started


def _this_process() -> _Owner:
    return _Owner(socket.gethostname(), _space(), os.getpid(), _started(os.getpid()))


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started; "ended" for one that only waits to be reaped, "" if this cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()  # the process name, in parentheses, may hold anything
    state, tick = fields[0], fields[19]  # fields 3 and 22 of proc(5)
    return "ended" if state in "ZX" else f"{boot} {tick}"


def _explain(path: Path, found: _Owner | None, here: _Owner) -> str:
    directory = path.parent
    if found is None:
        return f"{path} names no owner. If no run is active in {directory}, delete that file and try again."
    if (found.host, found.space) == (here.host, here.space):
        return (
            f"Process {found.pid} on {found.host} is writing to {directory}. "
            f"Wait for it to end, or stop it with `kill {found.pid}`, then try again."
        )
    return (
        f"Process {found.pid} on {found.host} holds {directory}, and from here ({here.host}) "
        f"it cannot be told whether it still runs. If it does not, delete {path} and try again."
    )


def _same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)

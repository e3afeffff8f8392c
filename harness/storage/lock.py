"""One writer for each run directory.

The file `.run.lock` is locked through filelock: the kernel gives that back when its owner ends, however it ends. Beside
it, `run.lock` names the owner. It is created exclusively and never taken from another host, because not all file systems
that hosts share also share the kernel's locks. Both files go when the lock is given back.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from harness.storage.canonical import canonical_json
from harness.storage.errors import RunLockedError, StorageError, reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_NAME = "run.lock"
KERNEL_LOCK_NAME = f".{LOCK_NAME}"
LOCK_NAMES = (LOCK_NAME, KERNEL_LOCK_NAME)
"""Files that are no content of the directories in which they lie."""

_WRITING_SECONDS = 1.0  # how long a lock may be without its owner's name


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
        self._held: tuple[_Owner, BaseFileLock] | None = None

    def __enter__(self) -> RunLock:
        try:
            self._held = self._acquired()
        except (OSError, NotImplementedError) as error:  # the latter for file systems without locks
            said = reason(error) if isinstance(error, OSError) else str(error)
            raise StorageError(f"Could not lock {self.directory}: {said}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        # A forked child leaves its parent's lock alone; so does a process whose lock was deleted by hand.
        # If a file cannot be removed it is taken over once this process has ended: no reason to fail a run.
        if held is None or held[0].pid != os.getpid():
            return
        with suppress(OSError):
            if _read(self.path) == held[0]:
                self.path.unlink()
        _give_back(held[1])

    def _acquired(self) -> tuple[_Owner, BaseFileLock]:
        from filelock import FileLock, Timeout

        mode = 0o666 & self.directory.stat().st_mode  # who may write into the directory may lock it
        lock = FileLock(self.directory / KERNEL_LOCK_NAME, mode=mode, thread_local=False)
        owner, deadline = _this_process(), time.monotonic() + _WRITING_SECONDS
        while True:
            with suppress(Timeout):
                lock.acquire(timeout=0)
            try:
                if lock.is_locked and self._named(owner):
                    return owner, lock
                if (found := _read(self.path)) is not None or time.monotonic() > deadline:
                    raise RunLockedError(_explain(self.path, found, owner))
            except BaseException:
                _give_back(lock)
                raise
            _give_back(lock)
            time.sleep(0.01)  # the owner is just writing its name, or has just given the lock back

    def _named(self, owner: _Owner) -> bool:
        """Write the owner's name, over that of an ended process of this host; False where another one stands there."""
        found = _read(self.path)
        if found is not None and found.is_near(owner):
            self.path.unlink()  # it has ended: the kernel's lock is ours
        return _create(self.path, owner)


class _Owner(NamedTuple):
    """A process, and where it runs."""

    host: str
    space: str  # the PID namespace: containers can share a host name, but number their processes apart
    pid: int

    def is_near(self, other: _Owner) -> bool:
        return (self.host, self.space) == (other.host, other.space)


def _give_back(lock: BaseFileLock) -> None:
    if lock.is_locked:
        with suppress(OSError):
            Path(
                lock.lock_file
            ).unlink()  # whoever waits at it meanwhile sees that it has lost its name (filelock 3.21)
        lock.release()


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


def _read(path: Path) -> _Owner | None:
    """The owner that a lock file names; None if it names none (yet) or is not there."""
    try:
        owner = _Owner(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    valid = isinstance(owner.host, str) and isinstance(owner.space, str) and type(owner.pid) is int and owner.pid > 0
    return owner if valid else None


def process_space() -> str:
    """In which space processes are numbered here: containers can share a host's name, but not its numbers."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _this_process() -> _Owner:
    return _Owner(socket.gethostname(), process_space(), os.getpid())


def _explain(path: Path, found: _Owner | None, here: _Owner) -> str:
    directory = path.parent
    if found is None:
        return f"{path} names no owner. If no run is active in {directory}, delete that file and try again."
    if found.is_near(here):
        return (
            f"Process {found.pid} on {found.host} is writing to {directory}. "
            f"Wait for it to end, or stop it with `kill {found.pid}`, then try again."
        )
    return (
        f"Process {found.pid} on {found.host} holds {directory}, and from here ({here.host}) "
        f"it cannot be told whether it still runs. If it does not, delete {path} and try again."
    )

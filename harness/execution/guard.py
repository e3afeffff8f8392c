"""Limits that a method worker puts on itself before any user code runs.

Resource limits and the death signal are kept by the operating system. The audit hook is a fence for
honest code and a clear sentence for the rest: native code can step over it (see SECURITY.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from harness.data.scratch import is_private

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
}
_NETWORK = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"}
_LONGEST_FILE = 1 << 30
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SUBREAPER = 1, 4, 36  # of prctl(2)


class NotAllowedError(PermissionError):
    """A method tried what methods may not do."""


def limit_memory(gibibytes: float) -> None:
    """Let this process grow by at most so much from here on (address space). Infinity: no limit."""
    if math.isinf(gibibytes):
        return
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        ceiling = pages * os.sysconf("SC_PAGE_SIZE") + int(gibibytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))


def limit_files() -> None:
    """No core dumps, no endless files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LONGEST_FILE, _LONGEST_FILE))


def die_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) to kill this process when `parent`, which started it, ends."""
    _process_control(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent (Linux) of descendants whose own parent ends, so that they can be found and killed."""
    _process_control(_SET_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep other processes of the same user (Linux) from reading this one's memory and environment."""
    _process_control(_SET_DUMPABLE, 0)


def fence(scratch: Path, hidden: tuple[str, ...] = ()) -> None:
    """Refuse, from now on, to write outside `scratch`, to read below `hidden`, and to use the network.

    Cannot be undone. `hidden` are the folders, or single files, in which outcomes, outputs, runs and data lie.
    """
    allowed = (str(scratch.resolve()) + os.sep, "/dev/")
    closed = tuple(os.path.realpath(folder) + os.sep for folder in hidden)

    def permit(path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        if not (_full(path) + os.sep).startswith(allowed):
            raise NotAllowedError(f"a method may write only into its temporary folder, not {os.fsdecode(path)}")

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if _is_memory(path):
                raise NotAllowedError("a method may not read the memory of processes")
            if is_private(_full(path)) or (closed and (_full(path) + os.sep).startswith(closed)):
                raise NotAllowedError("a method may not read what the harness knows of the outcomes")
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags and flags & _WRITING):
                permit(path)
        elif event in _CHANGES:
            for position in _CHANGES[event]:
                permit(args[position])
        elif event in _NETWORK:
            raise NotAllowedError("a method may not use the network")

    sys.addaudithook(hook)


def _full(path: Any) -> str:
    """Where a path leads; nowhere for what was opened by its number."""
    return "" if isinstance(path, int) or path is None else os.path.realpath(os.fsdecode(path))


def _is_memory(path: Any) -> bool:
    """Whether a path is `/proc/<pid>/mem`."""
    full = _full(path)
    return full.startswith("/proc/") and full.endswith("/mem")


def _process_control(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)

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
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

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
    "os.setxattr": (0,),
    "os.removexattr": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
}
_NETWORK = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"}
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LONGEST_FILE = 1 << 30
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SUBREAPER, _SET_NO_NEW_PRIVILEGES = 1, 4, 36, 38  # of prctl(2)
_CAPABILITIES_VERSION = 0x20080522
_KEPT_CAPABILITIES = 1 << 1  # CAP_DAC_OVERRIDE: a root in a container reads packages that belong to a user
_UNHEARD = ("mkfifo", "mknod")  # of os: no audit event tells of them


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


def supervise() -> None:
    """Go on in a child process (Linux). This one waits outside of the fence and ends as the child did.

    Before that it kills whatever the child has started, also what left its session and its group: what loses its
    parent becomes its own child. It does so too where the process that started it ends.
    """
    if sys.platform != "linux":
        return
    adopt_orphans()
    parent, ours = os.getppid(), os.getpid()
    if (child := os.fork()) == 0:
        os.setsid()
        die_with_parent(ours)
    else:
        _stand_by(child, parent)


def give_up_privileges() -> None:
    """Whatever this process starts gains none, and it gives up those of root (Linux): limits cannot be raised again."""
    _process_control(_SET_NO_NEW_PRIVILEGES, 1)
    library = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)()
    if library.capget(header, sets) == 0:  # effective, permitted, inheritable; then the same of higher numbers
        kept = [sets[0] & _KEPT_CAPABILITIES, sets[1] & _KEPT_CAPABILITIES, 0, 0, 0, 0]
        library.capset(header, (ctypes.c_uint32 * 6)(*kept))


def fence(scratch: Path, hidden: tuple[str, ...] = ()) -> None:
    """Refuse, from now on, to write outside `scratch`, to read below `hidden`, and to use the network.

    Cannot be undone. `hidden` are the folders, or single files, in which outcomes, outputs, runs and data lie.
    """
    allowed = (str(scratch.resolve()) + os.sep, "/dev/")
    closed = tuple(os.path.realpath(folder) + os.sep for folder in hidden)

    def permit(path: Any, what: str = "write only into") -> None:
        if isinstance(path, int) or path is None:
            return
        if not (_full(path) + os.sep).startswith(allowed):
            raise NotAllowedError(f"a method may {what} its temporary folder, not {os.fsdecode(path)}")

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if _is_memory(path):
                raise NotAllowedError("a method may not read the memory of processes")
            if is_private(_full(path)) or (closed and (_full(path) + os.sep).startswith(closed)):
                raise NotAllowedError("a method may not read what the harness knows of the outcomes")
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags and flags & _WRITING):
                permit(path)
            elif mode is None and Path(_full(path)).is_dir():  # by its descriptor, names are opened that nobody sees
                permit(path, "hold open only folders in")
        elif event == "sqlite3.connect":
            if (file := _database(args[0])) is not None:
                permit(file)
        elif event in _CHANGES:
            for position in _CHANGES[event]:
                permit(args[position])
        elif event in _NETWORK or (event == "socket.__new__" and args[1] in _INTERNET):
            raise NotAllowedError("a method may not use the network")

    sys.addaudithook(hook)
    for name in _UNHEARD:
        if hasattr(os, name):
            setattr(os, name, _watched(getattr(os, name), permit))
            setattr(sys.modules["posix"], name, getattr(os, name))


def _full(path: Any) -> str:
    """Where a path leads; nowhere for what was opened by its number."""
    return "" if isinstance(path, int) or path is None else os.path.realpath(os.fsdecode(path))


def _is_memory(path: Any) -> bool:
    """Whether a path is `/proc/<pid>/mem`."""
    full = _full(path)
    return full.startswith("/proc/") and full.endswith("/mem")


def _database(name: Any) -> str | None:
    """The file of a name or address that sqlite3 is given; None for a database in memory."""
    path = os.fsdecode(name)
    if path.startswith("file:"):
        path, _, wishes = path.removeprefix("file:").partition("?")
        path = "" if "mode=memory" in wishes.split("&") else unquote(path)
    return None if path in ("", ":memory:") else path


def _watched(make: Callable[..., None], permit: Callable[[Any], None]) -> Callable[..., None]:
    def made(path: Any, *arguments: Any, **keywords: Any) -> None:
        permit(path)
        make(path, *arguments, **keywords)

    return made


def _stand_by(child: int, parent: int) -> NoReturn:
    """Wait for a child, kill all that is left of it, and end as it did."""
    from harness.execution.processes import kill_below

    def end(*_: object) -> NoReturn:
        kill_below(os.getpid())
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    _process_control(_SET_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        end()
    os.closerange(3, 1 << 16)  # the connection must end with the child
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (ended := os.wait())[0] != child:
        pass
    kill_below(os.getpid())
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to remove
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _process_control(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)

"""Finding and killing what a process has started, whatever it did to hide. Linux only: elsewhere nothing is found."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_KILLING_SECONDS = 10.0


def kill_group(pid: int) -> None:
    """SIGKILL for a process and, where it leads one, its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_below(pid: int) -> None:
    """Kill all descendants of a process."""
    _kill_all(lambda: _descendants(pid))


def kill_marked(token: str) -> None:
    """Kill whatever carries the token in its environment: descendants, even after setsid, whose parents have ended."""
    _kill_all(lambda: _marked(token))


def count_below(pid: int) -> int:
    """How many processes and threads live below one."""
    return sum(_threads(each) for each in _descendants(pid))


def processor_seconds() -> float:
    """Seconds of processors that this process has used so far, and all that it started, living or ended.

    Unlike those of the clock they hardly depend on what else the machine does. Off Linux without those that live.
    """
    own = os.times()
    ticks = sum(_ticks(each) for each in _descendants(os.getpid()))
    return own.user + own.system + own.children_user + own.children_system + ticks / os.sysconf("SC_CLK_TCK")


def peak_memory() -> int:
    """Bytes that this process and its living descendants have held at most, each since it was started. 0 off Linux."""
    return sum(map(_peak, (os.getpid(), *_descendants(os.getpid()))))


def _peak(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    return 0


def _ticks(pid: int) -> int:
    """Of a living process and its ended children."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[11:15]))
    return 0


def _kill_all(find: Callable[[], Iterable[int]]) -> None:
    """Kill until none is found: the killed may have forked before they died."""
    deadline, pause = time.monotonic() + _KILLING_SECONDS, 0.001
    while (found := tuple(find())) and time.monotonic() < deadline:
        for pid in found:
            kill_group(pid)
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


def _marked(token: str) -> list[int]:
    needle = token.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def _descendants(pid: int) -> list[int]:
    """Living children of a process and theirs, whatever environment they have."""
    children = _listed if Path("/proc/thread-self/children").exists() else _searched()
    found, waiting = [], [pid]
    while waiting:
        waiting += (young := children(waiting.pop()))
        found += young
    return found


def _listed(pid: int) -> list[int]:
    """Children as the kernel lists them; the dead, who have none any more, left out."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return [each for each in found if _parent(each) is not None]


def _searched() -> Callable[[int], list[int]]:
    """As `_listed`, for kernels that keep no lists: from a look at every process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if (parent := _parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    return lambda pid: children.get(pid, [])


def _parent(pid: int) -> int | None:
    """Of a living process; None for one that is dead, or gone."""
    with contextlib.suppress(OSError, ValueError):
        state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        return None if state in "ZX" else int(parent)
    return None


def _threads(pid: int) -> int:
    """Threads of a process, none of one that is gone. Linux only."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[17])
    return 0

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
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":  # the dead have no children any more
                children.setdefault(int(parent), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        waiting += (young := children.get(waiting.pop(), []))
        found += young
    return found


def _threads(pid: int) -> int:
    """Threads of a process, none of one that is gone. Linux only."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[17])
    return 0

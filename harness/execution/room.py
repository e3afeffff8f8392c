"""What this machine offers to unit processes: memory, processors, graphics processors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from harness.execution.past import Earlier
from harness.execution.waiting import Room
from harness.spec.run import Unit
from harness.tracks.base import Track
from harness.tracks.costs import PAIR

_MOST_WORKERS = 4
_A_TRAINING = 0.25  # seconds, of the smallest network
_KEPT_FREE = 0.1  # of the memory, for all else that a machine does


def room_for(track: Track, units: Mapping[str, Unit], device: str, past: Earlier) -> Room:
    """The room for units of a track. A unit of no known need counts as a pair of idle processes."""
    free = free_memory()
    limit = None if free is None else free * (1 - _KEPT_FREE)
    own_cards = cards() if device == "cuda" else ()
    return Room(limit, needs(track, units, past.memory), PAIR, own_cards, past.seconds or _trainings(track, units))


def _trainings(track: Track, units: Mapping[str, Unit]) -> dict[str, float]:
    """Seconds that units take at least, by id, where they train networks."""
    trainings = track.workload(list(units.values())).trainings
    return dict.fromkeys(units, _A_TRAINING * trainings / len(units)) if trainings else {}


def needs(track: Track, units: Mapping[str, Unit], past: Mapping[str, float]) -> dict[str, float]:
    """GiB that units need, by id, where that is known. past: what they needed before, by id; what a track declares counts
    where it is more."""
    declared = {key: need for key, unit in units.items() if (need := track.memory(unit)) is not None}
    return {key: max(declared.get(key, 0.0), past.get(key, 0.0)) for key in {*declared, *past} if key in units}


def default_workers(threads: int, device: str) -> int:
    """Unit processes: one for each graphics processor that is used; else as many as have that many cores each, at most
    four."""
    if device == "cuda":
        return max(1, len(cards()))
    return max(1, min(cores() // threads, _MOST_WORKERS))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cards() -> tuple[str, ...]:
    """Graphics processors that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(each.strip() for each in named.split(",") if each.strip() not in ("", "-1"))
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def free_memory() -> float | None:
    """GiB that can be taken here now: what the system has available, or less where a control group has a limit; None
    where that cannot be read."""
    known = [each for each in (_available(), *_group_rests()) if each is not None]
    return min(known) / 2**30 if known else None


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) << 10
    return None


def _group_rests() -> list[int]:
    """Bytes left below the limits of this process's control groups (version 2), its own and those above."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()[0]
        group = Path("/sys/fs/cgroup") / own.lstrip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # the root has none, and `max` is none
                found.append(int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text()))
    return found

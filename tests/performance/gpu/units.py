"""Units of benchmarks, run by the engine itself on one device: how they ended, how long they took, and what they held."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.execution.answers import outputs_path
from harness.execution.evaluate import Prepared, Request, job_of, prepare
from harness.execution.executor import LocalExecutor, Room
from harness.execution.job import UnitEnd
from harness.execution.method_process import PRINTED
from harness.spec.run import Unit
from harness.storage import make_folder, read_arrays
from harness.tracks.base import Answers, Track

_GIBIBYTE = 2**30
_LOOK_EVERY = 0.02  # seconds
_TIMEOUT = 1200.0  # seconds of one call of a method: on a processor, large networks take long


@dataclass(frozen=True)
class Case:
    """Units of a benchmark in which a method is run. labels: of the units, all where there are none. trained: whether
    networks are trained in them, which on another device become other networks. limit: as in `Request`."""

    kind: str
    method: str
    benchmark: str
    labels: tuple[str, ...] = ()
    limit: int | None = None
    trained: bool = False
    fence: str = "auto"


@dataclass(frozen=True)
class Ran:
    """seconds: of the clock, for the first unit with the start of its processes. card: GiB of all graphics processors
    that were taken at most beside what was taken before, None without any."""

    unit: Unit
    end: UnitEnd
    answers: Answers | None
    seconds: float
    card: float | None

    @property
    def ok(self) -> bool:
        return self.end.result.status == "ok"


@dataclass(frozen=True)
class CaseRun:
    """All units of a case on one device, by label. printed: what the method printed, in all its processes."""

    track: Track
    units: dict[str, Ran]
    printed: str


def run_case(case: Case, device: str, folder: Path, *, slots: tuple[str, ...] = ()) -> CaseRun:
    """Run the units one after the other, or on as many processes as there are slots, each with its CUDA_VISIBLE_DEVICES.

    Nothing that an earlier run computed is used. Raises UsageError where a case cannot run here.
    """
    with _cache(folder / "cache"):
        request = Request(
            case.method, case.benchmark, out=folder, limit=case.limit, device=device, fence=case.fence, timeout=_TIMEOUT
        )
        prepared = prepare(request)
        units = {key: unit for key, unit in prepared.plan.units.items() if not case.labels or unit.label in case.labels}
        missing = set(case.labels) - {unit.label for unit in units.values()}
        assert not missing, f"{case.benchmark} has no unit {sorted(missing)}"
        return CaseRun(prepared.track, _run(prepared, units, slots), _printed(prepared.plan.folder))


def _run(prepared: Prepared, units: dict[str, Unit], slots: tuple[str, ...]) -> dict[str, Ran]:
    folder = make_folder(prepared.plan.folder)
    executor = LocalExecutor(job_of(prepared), max(1, len(slots)), Room(cards=slots))
    found: dict[str, Ran] = {}
    with CardMemory(prepared.limits.device) as cards:
        began = time.monotonic()
        for event in executor.run(units):
            if isinstance(event, UnitEnd):
                key, now = event.result.unit, time.monotonic()
                path = outputs_path(folder, key)
                answers = read_arrays(path) if path.is_file() else None
                found[units[key].label] = Ran(units[key], event, answers, now - began, cards.peak())
                began = now
    return found


def _printed(run: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted((run / PRINTED).glob("*.log")))


@contextlib.contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Data, trainings and forwards are kept in a folder of its own."""
    before = os.environ.get("HARNESS_CACHE")
    os.environ["HARNESS_CACHE"] = str(make_folder(folder))
    try:
        yield
    finally:
        if before is None:
            del os.environ["HARNESS_CACHE"]
        else:
            os.environ["HARNESS_CACHE"] = before


class CardMemory:
    """Memory of graphics processors, of whatever process, looked at fifty times a second while the block runs."""

    def __init__(self, device: str, used: Callable[[], int] | None = None) -> None:
        self._used = used or (_used if device == "cuda" else None)
        self._before = self._peak = 0
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> CardMemory:
        if self._used is not None:
            self._before = self._peak = self._used()
            self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._looking.is_alive():
            self._looking.join()

    def peak(self) -> float | None:
        """GiB at most since this was last asked, above what was taken at first."""
        if self._used is None:
            return None
        peak, self._peak = max(self._peak, self._used()), self._before
        return max(0, peak - self._before) / _GIBIBYTE

    def _look(self) -> None:
        assert self._used is not None
        while not self._over.wait(_LOOK_EVERY):
            self._peak = max(self._peak, self._used())


def _used() -> int:
    """Bytes that are taken on all graphics processors."""
    import torch

    return sum(total - free for free, total in map(torch.cuda.mem_get_info, range(torch.cuda.device_count())))

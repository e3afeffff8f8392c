"""How a run gets on, as its folder tells: for anybody who may read it, at any time. Changes nothing."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.execution.claims import Begun, is_void, under_way
from harness.execution.ended import ends, read_end
from harness.execution.job import UnitEnd, planned_units
from harness.execution.run_files import JOURNAL, SEALED
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, Journal


@dataclass(frozen=True)
class Working:
    """A unit under way. silent: seconds since its worker gave a sign of life."""

    begun: Begun
    silent: float


@dataclass(frozen=True)
class WorkerStatus:
    """What one worker (host:process) has done, and does. seconds: of the clock, in units."""

    units: int = 0
    failed: int = 0
    seconds: float = 0.0
    now: Working | None = None


@dataclass(frozen=True)
class RunStatus:
    """units: of the whole run, None where nobody wrote it down. done: scored, or not applicable, of which there are
    `inapplicable`. lost: begun by workers that have vanished, and by nobody since. seconds_left: of the clock, at the
    pace of the units so far, None where none has ended or none is under way. by_cost: ends of which the journal holds no
    seconds of the clock: their processor seconds count instead."""

    folder: Path
    sealed: bool
    units: int | None
    done: int
    inapplicable: int
    failed: int
    running: tuple[Working, ...]
    lost: int
    workers: dict[str, WorkerStatus]
    seconds_left: float | None
    by_cost: int

    @property
    def waiting(self) -> int | None:
        if self.units is None:
            return None
        return max(0, self.units - self.done - self.failed - len(self.running) - self.lost)


def run_status(folder: Path) -> RunStatus:
    """Raises UsageError for a folder that holds no run, IntegrityError for a damaged journal."""
    journal = folder / JOURNAL
    records = tuple(Journal.read(journal)) if journal.is_file() else ()
    planned = planned_units(folder)
    if not records and planned is None:
        raise UsageError(f"{folder} holds no run; name the folder that evaluate or plan printed.")
    found = {end.result.unit: end for end in (*_journaled(records, folder), *_left(folder))}
    about: dict[str, Any] = next((each["about"] for each in reversed(records) if "units" in each.get("about", {})), {})
    units = about.get("units", planned)
    claims = [(begun, silent) for begun, silent in under_way(folder) if begun.unit not in found]
    running = tuple(Working(*each) for each in claims if not is_void(*each))
    bad = sum(not _is_good(end) for end in found.values())
    return RunStatus(
        folder,
        (folder / SEALED).is_file(),
        units,
        len(found) - bad,
        sum(end.result.status == "not-applicable" for end in found.values()),
        bad,
        running,
        len(claims) - len(running),
        _workers(found, running),
        _left_to_do(units, found, running),
        _by_cost(found.values(), about.get("device", "cpu")),
    )


def _is_good(end: UnitEnd) -> bool:
    return end.result.status in ("ok", "not-applicable")


def _by_cost(ends: Iterable[UnitEnd], device: str) -> int:
    """On graphics processors costs are of the clock, too; units that did not run cost nothing."""
    return 0 if device == "cuda" else sum(end.wall_seconds is None and end.seconds > 0 for end in ends)


def _journaled(records: tuple[dict[str, Any], ...], folder: Path) -> Iterator[UnitEnd]:
    try:
        yield from (UnitEnd.of(record) for record in records if "unit" in record)
    except (KeyError, ValidationError) as error:
        raise IntegrityError(f"{folder / JOURNAL} was written by another version of the harness.") from error


def _left(folder: Path) -> Iterator[UnitEnd]:
    """Ends that are not journaled yet."""
    for path in ends(folder):
        with contextlib.suppress(IntegrityError, OSError):  # gone: just being journaled
            yield read_end(path)


def _workers(found: dict[str, UnitEnd], running: tuple[Working, ...]) -> dict[str, WorkerStatus]:
    by_worker: dict[str, list[UnitEnd]] = defaultdict(list)
    for end in found.values():
        if end.worker:
            by_worker[end.worker].append(end)
    now = {each.begun.worker: each for each in running}
    return {
        name: WorkerStatus(
            len(by_worker[name]),
            sum(not _is_good(end) for end in by_worker[name]),
            sum(end.duration for end in by_worker[name]),
            now.get(name),
        )
        for name in sorted({*by_worker, *now})
    }


def _left_to_do(units: int | None, found: dict[str, UnitEnd], running: tuple[Working, ...]) -> float | None:
    if units is None or not found or not running:
        return None
    left = units - len(found) - sum(each.begun.share for each in running)
    return max(0.0, left) * sum(end.duration for end in found.values()) / len(found) / len(running)

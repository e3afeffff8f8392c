"""What units took before, from the journals of past runs: hours and memory."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from harness.execution.plan import Plan
from harness.execution.run_files import SEALED
from harness.spec.run import Unit
from harness.storage import IntegrityError, Journal, read_json

_JOURNAL = "journal.log"
_LAST = 4
"""Journals that are read before every run: enough to know its longest units, and soon read."""


@dataclass(frozen=True)
class Expected:
    """What a run will take. hours: of the clock, of one worker, for the units of which something is known; memory: GiB of
    the unit that takes most, None where no journal tells. known, unknown: numbers of units; by_cost: of those that are
    known, how many only by processor seconds, from journals that hold none of the clock; journals: how many told;
    same_method: whether all of them were of the same method."""

    hours: float
    memory: float | None
    known: int
    by_cost: int
    unknown: int
    journals: int
    same_method: bool


def expected(plan: Plan) -> Expected:
    """From journals beside the plan's folder, of the same benchmark and device. A unit is told by those of its study and
    model, else of its study; and by runs of the same method, where there are any."""
    own = _Told(plan, plan.spec.method.name)
    told = own if own.journals else _Told(plan, "*")
    found = [told.of(unit) for unit in plan.units.values()]
    known = [each for each in found if each is not None]
    return Expected(
        hours=sum(each.seconds for each in known) / 3600,
        memory=max((each.memory for each in known if each.memory), default=None),
        known=len(known),
        by_cost=sum(each.by_cost for each in known),
        unknown=len(found) - len(known),
        journals=told.journals,
        same_method=bool(own.journals),
    )


class _Took(NamedTuple):
    """What a unit took, or units at the median and at most. memory: 0 where that was not recorded. by_cost: whether the
    seconds are of processors, for want of those of the clock."""

    seconds: float
    memory: float
    by_cost: bool

    @classmethod
    def of(cls, end: dict[str, Any], device: str) -> _Took:
        """From a journal's line. What a unit costs on graphics processors is seconds of the clock."""
        wall = end.get("wall_seconds", end["seconds"] if device == "cuda" else None)
        return cls(end["seconds"] if wall is None else wall, end.get("memory") or 0.0, wall is None)


@dataclass(frozen=True)
class Earlier:
    """What is known of units by id. memory: GiB that they needed at most with this method; seconds: that they took with it,
    or, where no journal is of it, with others."""

    memory: Mapping[str, float]
    seconds: Mapping[str, float]


def earlier(plan: Plan) -> Earlier:
    """What units of a plan took before, as the last journals of the same benchmark and device tell."""
    own = _told(_Told(plan, plan.spec.method.name, _LAST), plan)
    memory = {key: took.memory for key, took in own.items() if took.memory}
    return Earlier(memory, {key: took.seconds for key, took in (own or _told(_Told(plan, "*", _LAST), plan)).items()})


def _told(told: _Told, plan: Plan) -> dict[str, _Took]:
    """Of the units of which something is known, by id."""
    return {key: found for key, unit in plan.units.items() if (found := told.of(unit)) is not None}


class _Told:
    """Seconds and memory of scored units: of runs beside the plan's folder, of a method of this name; of so many that were
    written last."""

    def __init__(self, plan: Plan, method: str, most: int | None = None) -> None:
        self.journals = 0
        self._ends: dict[tuple[str, str], list[_Took]] = defaultdict(list)
        self._found: dict[tuple[str, str], _Took | None] = {}
        benchmark = escape(plan.spec.benchmark.replace("@", "-"))
        found = plan.folder.parent.glob(f"{benchmark}-{method}-*/{_JOURNAL}")
        journals = [path for path in found if path.is_file()]  # a pipe would be waited for
        for path in sorted(journals, key=_written, reverse=True)[:most]:
            with contextlib.suppress(IntegrityError, OSError, KeyError, TypeError):
                self._add(plan, path)

    def of(self, unit: Unit) -> _Took | None:
        """The median of seconds, of the clock where any journal holds those, and the most memory."""
        key = (unit.study, unit.model if (unit.study, unit.model) in self._ends else "")
        if key not in self._found:
            self._found[key] = _together(ends) if (ends := self._ends.get(key)) else None
        return self._found[key]

    def _add(self, plan: Plan, journal: Path) -> None:
        about, found, any_end = None, [], False
        for record in Journal.read(journal):
            about = record.get("about", about)
            if "unit" in record:
                unit, any_end = record["unit"], True  # as plain data: there may be a million
                if unit["status"] == "ok":
                    found.append((unit["study"], unit["model"], _Took.of(record, plan.spec.device)))
        if about is None:  # written before journals told it
            about = read_json(journal.with_name(SEALED))["spec"]
        if (about["device"], about["limit"]) != (plan.spec.device, plan.spec.limit):
            return
        for study, model, took in found:
            self._ends[study, model].append(took)
            self._ends[study, ""].append(took)
        self.journals += any_end


def _written(path: Path) -> float:
    """When a file was last written; long ago, where it has gone."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _together(ends: Sequence[_Took]) -> _Took:
    timed = [each for each in ends if not each.by_cost]
    middle = median(each.seconds for each in timed or ends)
    return _Took(middle, max(each.memory for each in ends), not timed)

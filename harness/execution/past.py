"""What units took before, from the journals of past runs: hours and memory."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from statistics import median

from harness.execution.plan import Plan
from harness.execution.run_files import SEALED
from harness.spec.run import Unit
from harness.storage import IntegrityError, Journal, read_json

_JOURNAL = "journal.log"


@dataclass(frozen=True)
class Expected:
    """What a run will take. hours: of one worker, for the units of which something is known; memory: GiB of the unit
    that takes most, None where no journal tells. known, unknown: numbers of units; journals: how many told; same_method:
    whether all of them were of the same method."""

    hours: float
    memory: float | None
    known: int
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
        hours=sum(seconds for seconds, _ in known) / 3600,
        memory=max((memory for _, memory in known if memory), default=None),
        known=len(known),
        unknown=len(found) - len(known),
        journals=told.journals,
        same_method=bool(own.journals),
    )


@dataclass(frozen=True)
class Earlier:
    """What is known of units by id. memory: GiB that they needed at most with this method; seconds: that they took with it,
    or, where no journal is of it, with others."""

    memory: Mapping[str, float]
    seconds: Mapping[str, float]


def earlier(plan: Plan) -> Earlier:
    """What units of a plan took before, as journals of the same benchmark and device tell."""
    own = _told(_Told(plan, plan.spec.method.name), plan)
    memory = {key: most for key, (_, most) in own.items() if most}
    return Earlier(memory, {key: took for key, (took, _) in (own or _told(_Told(plan, "*"), plan)).items()})


def _told(told: _Told, plan: Plan) -> dict[str, tuple[float, float]]:
    """Seconds and memory of the units of which something is known, by id."""
    return {key: found for key, unit in plan.units.items() if (found := told.of(unit)) is not None}


class _Told:
    """Seconds and memory of scored units: of runs beside the plan's folder, of a method of this name."""

    def __init__(self, plan: Plan, method: str) -> None:
        self.journals = 0
        self._ends: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self._found: dict[tuple[str, str], tuple[float, float] | None] = {}
        benchmark = escape(plan.spec.benchmark.replace("@", "-"))
        for path in sorted(plan.folder.parent.glob(f"{benchmark}-{method}-*/{_JOURNAL}")):
            with contextlib.suppress(IntegrityError, OSError, KeyError, TypeError):
                if path.is_file():  # a pipe would be waited for
                    self._add(plan, path)

    def of(self, unit: Unit) -> tuple[float, float] | None:
        """The median of seconds, and the most memory; 0 where that was not recorded."""
        key = (unit.study, unit.model if (unit.study, unit.model) in self._ends else "")
        if key not in self._found:
            ends = self._ends.get(key)
            self._found[key] = (median(each[0] for each in ends), max(each[1] for each in ends)) if ends else None
        return self._found[key]

    def _add(self, plan: Plan, journal: Path) -> None:
        about, found, any_end = None, [], False
        for record in Journal.read(journal):
            about = record.get("about", about)
            if "unit" in record:
                unit, any_end = record["unit"], True  # as plain data: there may be a million
                if unit["status"] == "ok":
                    found.append((unit["study"], unit["model"], (record["seconds"], record.get("memory") or 0.0)))
        if about is None:  # written before journals told it
            about = read_json(journal.with_name(SEALED))["spec"]
        if (about["device"], about["limit"]) != (plan.spec.device, plan.spec.limit):
            return
        for study, model, took in found:
            self._ends[study, model].append(took)
            self._ends[study, ""].append(took)
        self.journals += any_end

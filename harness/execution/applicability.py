"""Which units of a run a method cannot be applied in, and why: found out before anything is fetched or computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from harness.execution.plan import Plan
from harness.methods.client import MethodClient
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.tracks.base import Track


def inapplicable_units(
    track: Track, plan: Plan, start: Callable[[], AbstractContextManager[MethodClient]] | None
) -> dict[str, str]:
    """Id of a unit -> why the method cannot be applied there, by what it declares and by a rehearsal on made-up numbers.

    Without `start` there is no rehearsal. A method may still turn out to be inapplicable when it sees a real unit.
    """
    declared = {unit: track.inapplicable(unit) for unit in plan.units.values()}
    left = [unit for unit, reason in declared.items() if not reason]
    reasons: dict[Unit, str] = declared | (track.rehearse(left, start) if start is not None and left else {})
    return {key: reason for key, unit in plan.units.items() if (reason := reasons[unit])}


def refuse_where_none_applies(track: Track, plan: Plan, reasons: Mapping[str, str]) -> None:
    """Raise UsageError for a run of which no unit applies."""
    if plan.units and len(reasons) == len(plan.units):
        why = "; ".join(dict.fromkeys(reasons.values()))
        raise UsageError(
            f"{plan.spec.method.name} cannot be applied in any of the {len(plan.units)} units of {plan.spec.benchmark}: "
            f"{why}. `harness list` shows other benchmarks."
        )

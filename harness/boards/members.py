"""What the arrays in a submission's files are called: `<model>--<study>--<name>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from harness.spec.run import Unit

Held = TypeVar("Held")

_SEPARATOR = "--"


def unit_key(unit: Unit) -> str:
    """What the names of a unit's stored arrays begin with."""
    return f"{unit.model}{_SEPARATOR}{unit.study}"


def member_name(unit: Unit, name: str) -> str:
    """The name of one stored array of a unit."""
    return f"{unit_key(unit)}{_SEPARATOR}{name}"


def by_unit(arrays: Mapping[str, Held]) -> dict[str, dict[str, Held]]:
    """Stored arrays, or what is known of them, by `unit_key` and name."""
    found: dict[str, dict[str, Held]] = {}
    for member, array in arrays.items():
        where, _, name = member.rpartition(_SEPARATOR)
        found.setdefault(where, {})[name] = array
    return found

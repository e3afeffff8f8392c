"""How many hours of a graphics card a run takes, to an order of magnitude, from costs that stand in `costs.toml`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.data.toml import read_toml

COSTS = Path(__file__).with_name("costs.toml")
PAIR = 1.0
"""GiB of a unit process and a method's worker with torch, beside what a unit needs."""


@dataclass(frozen=True)
class Estimate:
    """hours: of one graphics card; None where nothing is declared by which it could be estimated. basis: what was
    counted, in sentences. left_out: what could not be."""

    hours: float | None
    basis: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def text_of(hours: float) -> str:
    """An order of magnitude in words: what it says is not more certain than that."""
    if hours < 1:
        return "less than an hour of a graphics card"
    rounded = round(hours, -max(0, math.floor(math.log10(hours))))
    return f"about {rounded:,.0f} hours of a graphics card"


@cache
def costs() -> Mapping[str, Any]:
    return read_toml(COSTS)


def multiply_adds(network: str, side: int) -> float:
    """Multiply-adds of one pass, from the declared one of the nearest side."""
    declared = min(costs()["forward"][network], key=lambda each: abs(math.log(each["side"] / side)))
    return float(declared["multiply_adds"] * (side / declared["side"]) ** 2)


def smallest_side(network: str) -> int:
    return int(min(each["side"] for each in costs()["forward"][network]))

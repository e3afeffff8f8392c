"""What tables and pages need to know of any metric, whatever its track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.spec.kinds import kinds, load

Digits = Literal["fixed", "significant"]
"""How tables show a metric: with one decimal, or in three digits, which suits what has no common scale."""


@dataclass(frozen=True)
class MetricFacts:
    """scale: factor for display; values in files stay unscaled."""

    id: str
    lower_is_better: bool | None
    """None for a frame in which scores are read, such as the failure rate."""
    range: tuple[float, float]
    needs: tuple[str, ...]
    citation: str
    criterion: str
    scale: float = 1.0
    digits: Digits = "fixed"

    @property
    def heading(self) -> str:
        """Its name with an arrow in the direction of better scores."""
        arrow = {None: "", True: " ↓", False: " ↑"}[self.lower_is_better]
        return self.id.replace("_", " ") + arrow

    def text(self, value: float | None) -> str:
        """A value as tables show it; a dash where it is missing."""
        if value is None:
            return "–"
        return number_text(value * self.scale, self.digits)


def number_text(value: float, digits: Digits, decimals: int = 1) -> str:
    """A value that is scaled for display, with so many decimals where digits are fixed."""
    return f"{value:.{decimals}f}" if digits == "fixed" else f"{value:.3g}"


def board_text(metric: str, value: float, decimals: int = 1) -> str:
    """A value as boards hold it, which is scaled, of a metric or of a mean rank."""
    fact = metric_facts().get(metric)
    return number_text(value, "fixed" if fact is None else fact.digits, decimals)


@cache
def metric_facts() -> Mapping[str, MetricFacts]:
    """Every metric of every installed kind by its id; no package changes what is said of the harness's own."""
    last_wins = sorted(kinds().values(), key=lambda kind: kind.package == "harness")
    return {fact.id: fact for kind in last_wins if kind.metrics for fact in load(kind.metrics)}

"""What tables and pages need to know of any metric, whatever its track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.spec.kinds import kinds, load


@dataclass(frozen=True)
class MetricFacts:
    """scale: factor for display; values in files stay unscaled. digits: "fixed" shows one decimal, "significant" three digits."""

    id: str
    lower_is_better: bool | None
    """None for a frame in which scores are read, such as the failure rate."""
    range: tuple[float, float]
    needs: tuple[str, ...]
    citation: str
    criterion: str
    scale: float = 1.0
    digits: Literal["fixed", "significant"] = "fixed"

    @property
    def heading(self) -> str:
        """Its name with an arrow in the direction of better scores."""
        arrow = {None: "", True: " ↓", False: " ↑"}[self.lower_is_better]
        return self.id.replace("_", " ") + arrow

    def text(self, value: float | None) -> str:
        """A value as tables show it; a dash where it is missing."""
        if value is None:
            return "–"
        return f"{value * self.scale:.1f}" if self.digits == "fixed" else f"{value * self.scale:.3g}"


@cache
def metric_facts() -> Mapping[str, MetricFacts]:
    """Every metric of every installed kind by its id; no package changes what is said of the harness's own."""
    last_wins = sorted(kinds().values(), key=lambda kind: kind.package == "harness")
    return {fact.id: fact for kind in last_wins if kind.metrics for fact in load(kind.metrics)}

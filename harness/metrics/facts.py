"""What tables and pages need to know of any metric, whatever its track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.spec.kinds import kinds, load

Digits = Literal["fixed", "significant", "whole"]
"""How tables show a metric: with one decimal, in three digits, which suits what has no common scale, or as a count."""
_ACRONYMS = frozenset(("ap", "aubc", "augrc", "aurc", "auroc", "ece", "fpr", "irof", "mce", "nll", "road", "tpr"))


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
        return self.name + {None: "", True: " ↓", False: " ↑"}[self.lower_is_better]

    @property
    def name(self) -> str:
        """Its id as people write it: "failure_auroc" is "failure AUROC"."""
        return " ".join(word.upper() if word in _ACRONYMS else word for word in self.id.split("_"))

    def text(self, value: float | None) -> str:
        """A value as tables show it; a dash where it is missing."""
        if value is None:
            return "–"
        return number_text(value * self.scale, self.digits)


def number_text(value: float, digits: Digits, decimals: int = 1) -> str:
    """A value that is scaled for display, with so many decimals where digits are fixed."""
    return f"{value:.3g}" if digits == "significant" else f"{value:,.{decimals if digits == 'fixed' else 0}f}"


def board_text(metric: str, value: float, decimals: int = 1) -> str:
    """A value as boards hold it, which is scaled, of a metric or of a mean rank."""
    fact = metric_facts().get(metric)
    return number_text(value, "fixed" if fact is None else fact.digits, decimals)


@cache
def metric_facts() -> Mapping[str, MetricFacts]:
    """Every metric of every installed kind by its id; no package changes what is said of the harness's own."""
    last_wins = sorted(kinds().values(), key=lambda kind: kind.package == "harness")
    return {fact.id: fact for kind in last_wins if kind.metrics for fact in load(kind.metrics)}

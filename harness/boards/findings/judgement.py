"""What evidence says of a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.statistics import Share

Origin = Literal["published", "board", "runs"]
Verdict = Literal["supported", "contradicted", "undecided"]
LEVEL = 0.05
RELIABLE = 0.9
"""The share of settings from which on something is called reliable."""


@dataclass(frozen=True)
class SettingCount:
    """What was counted over settings: how often, in which share with its 95 % interval, and the test.

    about: in words, such as "msr better than pe". p_value: of a share of one half, two-sided, or of what the rule of the
    finding says; corrected by Holm's method for all comparisons of its finding.
    """

    about: str
    share: Share
    p_value: float

    @property
    def more(self) -> bool:
        """In significantly more than half of the settings."""
        return self.p_value < LEVEL and self.share.share > 0.5

    @property
    def less(self) -> bool:
        """In significantly less than half of the settings."""
        return self.p_value < LEVEL and self.share.share < 0.5


@dataclass(frozen=True)
class Judged:
    """A finding on some evidence. comparisons: the one that decides first; none where there was nothing to compare.

    rule: when such a finding is supported or contradicted. origin, benchmark: of the evidence.
    """

    finding: str
    paper: str
    claim: str
    rule: str
    origin: Origin
    benchmark: str
    verdict: Verdict
    reason: str
    comparisons: tuple[SettingCount, ...] = ()

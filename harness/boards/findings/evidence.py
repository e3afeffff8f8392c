"""Numbers that findings are held against: of papers, of a board, or of runs; in one form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from harness.boards.findings.judgement import Origin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Number:
    """One method in one setting by one metric: its mean, the standard error (NaN where unknown), over how many runs.

    runs is infinite where the error is that of a bootstrap.
    """

    metric: str
    setting: str
    method: str
    value: float
    error: float = math.nan
    runs: float = math.inf


@dataclass(frozen=True)
class SettingTable:
    """Settings × methods, NaN where there is no number. values: higher is better."""

    values: pd.DataFrame
    errors: pd.DataFrame
    runs: pd.DataFrame


@dataclass(frozen=True)
class Evidence:
    """groups: study -> group of studies that are averaged. scores: XAI scores of single samples, see
    `AttributionLeaderboard.frame`, where the numbers are ranks by metric."""

    origin: Origin
    benchmark: str
    task: str
    numbers: tuple[Number, ...]
    lower_is_better: Mapping[str, bool]
    groups: Mapping[str, str] = field(default_factory=dict)
    scores: pd.DataFrame | None = None

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(number.metric for number in self.numbers))

    def grid(self, metric: str, *, averaged: bool) -> SettingTable:
        """Numbers of one metric. averaged: studies of a group are one setting, their mean; a method that lacks one of
        those of which there are numbers has none there. The error of a mean takes its studies as independent."""
        import pandas as pd

        rows = [number for number in self.numbers if number.metric == metric]
        frame = pd.DataFrame(
            [(each.setting, each.method, each.value, each.error, each.runs) for each in rows],
            columns=["setting", "method", "value", "error", "runs"],
        )
        values, errors, runs = (
            frame.pivot(index="setting", columns="method", values=name) for name in ("value", "error", "runs")
        )
        if averaged and len(values):
            group = [self.groups.get(setting, setting) for setting in values.index]
            size = values.groupby(group).size()
            values = values.groupby(group).sum(min_count=1).where(values.notna().groupby(group).all()).div(size, axis=0)
            squares = (errors**2).groupby(group).sum(min_count=1).where(errors.notna().groupby(group).all())
            errors, runs = squares.pow(0.5).div(size, axis=0), runs.groupby(group).min()
        return SettingTable(-values if self.lower_is_better[metric] else values, errors, runs)

"""From measurements of units to every number that is shown: records, summaries with intervals, draws of whole scopes.

The one long table behind them has a row per unit, metric and draw; `long_table` shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.spec.result import Record, Summary
from harness.spec.run import Unit
from harness.statistics import DIGITS, percentile_interval
from harness.tracks.base import Measurement, Scope, Track
from harness.tracks.pooling import Draws

if TYPE_CHECKING:
    import pandas as pd


def records(measurement: Measurement) -> tuple[Record, ...]:
    """Every metric of one unit."""
    return tuple(
        Record(metric=name, value=score.value, n=score.n, status="undefined" if score.value is None else "ok")
        for name, score in measurement.scores.items()
    )


def unit_intervals(measurement: Measurement) -> dict[str, dict[str, float]]:
    """The ends of the 95 % interval, `low` and `high`, of the metrics of one unit that have one."""
    defined = {name: score for name, score in measurement.scores.items() if score.value is not None}
    found = {name: _interval(np.round(score.draws, DIGITS)) for name, score in defined.items()}
    return {name: ends for name, ends in found.items() if ends}


def summarize(
    track: Track, measured: Mapping[Unit, Measurement], inapplicable: Collection[Unit] = ()
) -> tuple[Summary, ...]:
    """Every metric of every scope, with its 95 % interval.

    A scope that lacks one of its units is *incomplete* and has no value: a mean over the seeds that happen to be left
    would compare with nothing.
    """
    rows = []
    for scope in track.scopes(measured, inapplicable):
        complete = len(scope.units) >= scope.planned
        for metric in scope.metrics if scope.units or scope.planned > 0 else ():
            draws = scope_draws(track, scope, measured, metric) if complete else None
            if complete and draws is None:
                continue
            # A metric that only several units together tell rests on all of them.
            having = [unit for unit in scope.units if metric in measured[unit].scores] or scope.units
            row = Summary(
                study=scope.name,
                metric=metric,
                value=None,
                n=sum(_samples(measured[unit], metric) for unit in having),
                seeds=len({track.repeat(unit) for unit in having}),
                part_of=scope.part_of,
                status="incomplete" if draws is None else "undefined",
            )
            rows.append(row if draws is None or not np.isfinite(draws[0]) else _with_value(row, draws))
    return tuple(rows)


def complete_draws(track: Track, measured: Mapping[Unit, Measurement], metric: str) -> dict[str, Draws]:
    """Scope -> draws of a metric, of the scopes that are complete and in which it is defined."""
    found = {}
    for scope in track.scopes(measured):
        draws = scope_draws(track, scope, measured, metric) if len(scope.units) >= scope.planned else None
        if draws is not None and np.isfinite(draws[0]):
            found[scope.name] = draws
    return found


def scope_draws(track: Track, scope: Scope, measured: Mapping[Unit, Measurement], metric: str) -> Draws | None:
    """One metric over a scope: what a run's table shows and a board ranks by, to the last digit."""
    draws = track.pooled(metric, {unit: measured[unit] for unit in scope.units})
    return None if draws is None else np.round(draws, DIGITS)


def long_table(measured: Mapping[Unit, Measurement]) -> pd.DataFrame:
    """Columns: study, model, seed, metric, draw (0: the value, from 1: replicates), value, status (ok or undefined)."""
    import pandas as pd

    return pd.DataFrame(_long_rows(measured), columns=["study", "model", "seed", "metric", "draw", "value", "status"])


def _long_rows(measured: Mapping[Unit, Measurement]) -> Iterator[tuple[object, ...]]:
    for unit, measurement in measured.items():
        for metric, score in measurement.scores.items():
            for draw, value in enumerate(score.draws):
                status = "ok" if np.isfinite(value) else "undefined"
                yield unit.study, unit.model, unit.model_seed, metric, draw, float(value), status


def _samples(measurement: Measurement, metric: str) -> int:
    """Samples that a metric rests on in one unit; of one that only several units together tell, those of the unit."""
    scores = measurement.scores
    return scores[metric].n if metric in scores else max((each.n for each in scores.values()), default=0)


def _with_value(row: Summary, draws: Draws) -> Summary:
    return row.model_copy(update={"value": float(draws[0]), "status": "ok", **_interval(draws)})


def _interval(draws: Draws) -> dict[str, float]:
    """`low` and `high` of a value with its replicates; nothing where none of these is defined."""
    low, high = (float(end) for end in percentile_interval(draws[1:]))
    return {"low": low, "high": high} if np.isfinite(low) else {}

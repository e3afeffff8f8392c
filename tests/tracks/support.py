"""What tests of all kinds ask: measurements of stored answers, a run's table, draws of a scope, cells of a board."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.spec.board import Cell
from harness.spec.result import Record, Summary
from harness.spec.run import Unit
from harness.tracks.base import Answers, Measurement, Track
from harness.tracks.leaderboard import Entry, Leaderboard
from harness.tracks.summary import records, scope_draws, summarize


def measured(track: Track, answered: Mapping[Unit, Answers]) -> dict[Unit, Measurement]:
    return {unit: track.measure(unit, outputs) for unit, outputs in answered.items()}


def summary(track: Track, answered: Mapping[Unit, Answers], inapplicable: Collection[Unit] = ()) -> tuple[Summary, ...]:
    """A run's table, of stored answers."""
    return summarize(track, measured(track, answered), inapplicable)


def replicates(track: Track, answered: Mapping[Unit, Answers], study: str, metric: str) -> np.ndarray[Any, Any]:
    """Those of one metric over a study or group, (replicates,)."""
    found = measured(track, answered)
    scope = next(each for each in track.scopes(found) if each.name == study)
    draws = scope_draws(track, scope, found, metric)
    assert draws is not None
    return draws[1:]


def cells_of(board: Leaderboard, entries: Sequence[Entry]) -> dict[str, dict[str, Cell]]:
    """Column -> method -> cell."""
    return {name: column.cells() for name, column in board.compared(entries).items()}


def tied_with(board: Leaderboard, entries: Sequence[Entry], name: str) -> dict[str, tuple[str, ...]]:
    """Column -> methods that cannot be told apart from this one, of columns in which it has a score."""
    return {title: column.tied(name) for title, column in board.compared(entries).items() if name in column.draws}


class Audit(NamedTuple):
    """What the gate finds in the submitted outputs of one unit."""

    records: tuple[Record, ...]
    as_reported: tuple[str, ...]
    problems: tuple[str, ...]


def audited(track: Track, unit: Unit, submitted: Answers) -> Audit:
    found = records(track.measure(unit, submitted))
    return Audit(found, track.as_reported(unit, submitted), tuple(track.problems(unit, submitted)))

"""Columns of a contest in which a method's entry holds its score followed by its paired replicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.spec.board import Cell
from harness.statistics.ranks import ranked
from harness.tracks.base import Entry

if TYPE_CHECKING:
    import numpy as np

_RANKS = ("rank", "rank_low", "rank_high", "group")


def column_cells(entries: Sequence[Entry], column: str, *, lower_is_better: bool) -> dict[str, Cell]:
    """Method -> its cell, for those that have the column; ranks among competitors, none for reference rows."""
    import numpy as np

    competitors = {each.method.name: each.arrays[column] for each in _competitors(entries, column)}
    ranks: dict[str, dict[str, int]] = {}
    if competitors:
        names, scores = list(competitors), np.stack(list(competitors.values()), axis=1)
        # A resample that leaves a score without meaning, as one without any foreground, tells nothing about anybody.
        draws = scores[1:][~np.isnan(scores[1:]).any(axis=1)]
        order, table = ranked(names, scores[0], draws, lower_is_better=lower_is_better)
        whole = {name: table[name].astype(int).tolist() for name in _RANKS}
        ranks = {names[place]: {name: of[row] for name, of in whole.items()} for row, place in enumerate(order)}
    cells = {}
    for each in (each for each in entries if column in each.arrays):
        low, high = _interval(each.arrays[column][1:])
        value = float(each.arrays[column][0])
        cells[each.method.name] = Cell(value=value, low=low, high=high, **ranks.get(each.method.name, {}))
    return cells


def column_ties(entries: Sequence[Entry], name: str, column: str, *, lower_is_better: bool) -> tuple[str, ...]:
    """Competitors, best first, for which the 95 % interval of the paired difference to the named one contains 0."""
    own = next(each for each in entries if each.method.name == name)
    others = [each for each in _competitors(entries, column) if each is not own]
    sign = 1.0 if lower_is_better else -1.0
    others.sort(key=lambda each: (sign * float(each.arrays[column][0]), each.method.name))
    return tuple(each.method.name for each in others if _inseparable(own, each, column))


def _competitors(entries: Sequence[Entry], column: str) -> list[Entry]:
    return [each for each in entries if not each.method.reference and column in each.arrays]


def _inseparable(one: Entry, other: Entry, column: str) -> bool:
    low, high = _interval(one.arrays[column][1:] - other.arrays[column][1:])
    return low <= 0.0 <= high


def _interval(replicates: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval, over the replicates in which the score has a meaning."""
    import numpy as np

    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return float(low), float(high)

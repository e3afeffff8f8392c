"""How methods of a kind compare: columns of paired draws, and from them cells, ties and differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark
from harness.spec.board import Cell, Table
from harness.spec.method import MethodSpec
from harness.spec.run import Unit
from harness.tracks.base import Measurement, Track

if TYPE_CHECKING:
    import numpy as np

MEAN = "mean"
_RANKS = ("rank", "rank_low", "rank_high", "group")


@dataclass(frozen=True)
class Entry:
    """One method on a board: what a comparison needs of it, and how many of its units have scores."""

    method: MethodSpec
    arrays: Mapping[str, np.ndarray]
    scored: int
    planned: int
    """Units that apply to the method."""
    exempt: int = 0
    """Units that do not."""
    waits: bool = False
    """Whether it is shown without a rank, and counts for nobody's, before it is reproduced."""

    @property
    def complete(self) -> bool:
        return self.scored == self.planned


@dataclass(frozen=True)
class BoardMetric:
    """What the numbers of a board are: `scale` is what they are multiplied with for display."""

    metric: str
    title: str
    lower_is_better: bool
    scale: float = 1.0
    explanation: str = ""
    oracles_bound: bool = True
    """Whether no honest method can be better than a row that reads labels."""


@dataclass(frozen=True)
class Column:
    """One column of a board.

    draws: method -> (1 + replicates,), its value and its replicates; paired, and on a scale on which methods compare.
    unranked: methods that are shown without a rank. pool: methods that are ranked among themselves, while any other is
    ranked as if it alone joined them; None for all. shown: method -> what is added to its numbers where they are shown.
    spread: method -> how far the metrics behind its number disagree.
    """

    draws: Mapping[str, np.ndarray]
    lower_is_better: bool
    unranked: Collection[str] = ()
    pool: Collection[str] | None = None
    shown: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)

    def cells(self) -> dict[str, Cell]:
        """Method -> its cell."""
        import numpy as np

        from harness.statistics import percentile_interval

        if not self.draws:
            return {}
        ranks, cells, draws = self._ranks(), {}, np.stack(list(self.draws.values()), axis=1)
        for name, *numbers in zip(self.draws, draws[0], *percentile_interval(draws[1:]), strict=True):
            value, low, high = (float(each) + self.shown.get(name, 0.0) for each in numbers)
            cells[name] = Cell(value=value, low=low, high=high, spread=self.spread.get(name), **ranks.get(name, {}))
        return cells

    def tied(self, name: str) -> tuple[str, ...]:
        """Ranked methods, best first, for which the interval of the paired difference to the named one contains 0."""
        import numpy as np

        from harness.statistics import contains_zero

        others = [each for each in self._competitors() if each != name]
        if not others:
            return ()
        differences = np.stack([self.draws[name][1:] - self.draws[each][1:] for each in others], axis=1)
        tied = [each for each, alike in zip(others, contains_zero(differences), strict=True) if alike]
        sign = 1.0 if self.lower_is_better else -1.0
        return tuple(sorted(tied, key=lambda each: (sign * float(self.draws[each][0]), each)))

    def _competitors(self) -> list[str]:
        return [name for name in self.draws if name not in self.unranked]

    def _ranks(self) -> dict[str, dict[str, int]]:
        names = self._competitors()
        members = names if self.pool is None else [name for name in names if name in self.pool]
        ranks = self._ranked(members) if members else {}
        for newcomer in names if members else ():
            if newcomer not in members:
                ranks[newcomer] = self._ranked([*members, newcomer])[newcomer]
        return ranks

    def _ranked(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        import numpy as np

        from harness.statistics.ranks import ranked

        draws = np.stack([self.draws[name] for name in names], axis=1)
        # A resample that leaves a score without meaning, as one without any foreground, tells nothing about anybody.
        replicates = draws[1:][~np.isnan(draws[1:]).any(axis=1)]
        order, table = ranked(names, draws[0], replicates, lower_is_better=self.lower_is_better)
        return {names[place]: {name: int(table[name][row]) for name in _RANKS} for row, place in enumerate(order)}


class Leaderboard:
    """What a board of one benchmark shows; the last column orders it.

    Here: the primary metric of each group of studies, and their mean where there are several. Kinds that compare in
    another way override `entry` and `column`. An entry's arrays are by column the draws of the method, and whatever
    else `tables` needs.
    """

    joint = False
    """Whether the numbers of a method depend on which others it is compared with."""

    def __init__(self, protocol: LoadedBenchmark) -> None:
        self.benchmark: Any = protocol.benchmark
        groups = tuple(dict.fromkeys(study.group for study in self.benchmark.compared))
        self.columns: tuple[str, ...] = (*groups, MEAN) if len(groups) > 1 else groups
        self.shows = self.metric()
        self.measures: Collection[str] | None = (self.shows.metric,)
        """The metrics that entries are made of; None for all."""

    def metric(self) -> BoardMetric:
        """What the columns hold; by default the first metric of the benchmark."""
        from harness.metrics.facts import metric_facts

        fact = metric_facts()[self.benchmark.metrics[0]]
        return BoardMetric(fact.id, fact.id.replace("_", " "), bool(fact.lower_is_better), fact.scale)

    def entry(self, track: Track, measured: Mapping[Unit, Measurement]) -> dict[str, np.ndarray]:
        """What the comparison needs of one method; small enough to be cached."""
        import numpy as np

        from harness.statistics import DIGITS
        from harness.tracks.summary import complete_draws

        found = complete_draws(track, measured, self.shows.metric)
        columns = {name: found[name] for name in self.columns if name in found}
        if MEAN in self.columns and len(columns) == len(self.columns) - 1:
            columns[MEAN] = np.asarray(np.round(np.mean(list(columns.values()), axis=0), DIGITS))
        return columns

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """Those of the units that ended as not applicable which are no debt of the method; by default none."""
        return ()

    def column(self, name: str, entries: Sequence[Entry]) -> Column:
        """One column over all methods; a method without scores there is not in it."""
        draws = {each.method.name: each.arrays[name] for each in entries if name in each.arrays}
        return Column(draws, self.shows.lower_is_better, unranked(entries))

    def compared(self, entries: Sequence[Entry]) -> dict[str, Column]:
        """All columns by name."""
        return {name: self.column(name, entries) for name in self.columns}

    def picture(self, entries: Sequence[Entry]) -> tuple[str, str] | None:
        """Name and content of an SVG file that lies beside the board."""
        return None

    def tables(self, entries: Sequence[Entry]) -> tuple[Table, ...]:
        """What is shown behind the ranking, over all rows of the board."""
        return ()


def unranked(entries: Sequence[Entry]) -> frozenset[str]:
    """Methods that are shown and not ranked: reference rows, and those that wait."""
    return frozenset(each.method.name for each in entries if each.method.reference or each.waits)


def settled(entries: Sequence[Entry]) -> list[Entry]:
    """Those that may set a scale for others: all that do not wait; everybody where no method has a rank."""
    nobody = all(each.waits or each.method.reference for each in entries)
    return [each for each in entries if nobody or not each.waits]

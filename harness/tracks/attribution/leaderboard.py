"""How XAI methods compare: robust ranks per criterion against a fixed pool (Klein et al. 2024, LATEC)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution import AttributionBenchmark
from harness.spec.run import Unit
from harness.statistics.criteria import MeanRanks, comparable, mean_ranks
from harness.tracks.attribution.studies import exempt_kinds
from harness.tracks.base import Measurement, Track
from harness.tracks.leaderboard import BoardMetric, Column, Entry, Leaderboard, settled, unranked

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OVERALL = "overall"
_SEPARATOR = "--"


class AttributionLeaderboard(Leaderboard):
    """See `harness.tracks.leaderboard.Leaderboard`. Arrays of an entry are the scores (n,) of single samples, by
    `study--model--metric`."""

    benchmark: AttributionBenchmark
    joint = True

    def __init__(self, protocol: LoadedBenchmark) -> None:
        super().__init__(protocol)
        used = {metric for study in self.benchmark.studies for metric in study.metrics}
        criteria = dict.fromkeys(METRICS[use.id].criterion for use in self.benchmark.metrics if use.id in used)
        self.columns = (*criteria, OVERALL)
        self.measures = ()

    def metric(self) -> BoardMetric:
        return BoardMetric(
            "mean_rank",
            "mean rank",
            lower_is_better=True,
            explanation=(
                "A method's rank in every metric of a criterion, averaged; ± is how far these ranks disagree: read a "
                "mean rank only where that is low. Scores are clipped, scaled and taken as medians over samples in each "
                "cell (a network on a data set), then averaged over the cells that apply to the method. Ranks are among "
                f"the {len(self.benchmark.reference)} methods of the reference pool; any other method gets the rank "
                "that it would have if it alone joined them. Intervals are over samples (paired bootstrap). "
                f"*{OVERALL}* is the mean over {', '.join(self._counted)}."
            ),
        )

    def entry(self, track: Track, measured: Mapping[Unit, Measurement]) -> dict[str, np.ndarray]:
        return {
            _SEPARATOR.join((unit.study, unit.model, metric)): values
            for unit, measurement in measured.items()
            for metric, values in measurement.arrays.items()
        }

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        return exempt_kinds(self.benchmark.source.models, self.benchmark.studies, inapplicable)

    def compared(self, entries: Sequence[Entry]) -> dict[str, Column]:
        columns = {name: Column({}, lower_is_better=True) for name in self.columns}
        for ranks in self._with_overall(entries) if entries else ():
            draws = comparable(ranks.means, ranks.pool)
            columns[ranks.criterion] = Column(
                {str(name): draws[name].to_numpy() for name in draws},
                lower_is_better=True,
                unranked=unranked(entries),
                pool=ranks.pool,
                shown={str(name): float(ranks.means[name].iloc[0] - draws[name].iloc[0]) for name in draws},
                spread={} if ranks.criterion == OVERALL else {str(k): float(v) for k, v in ranks.spread.items()},
            )
        return columns

    def frame(self, entries: Sequence[Entry]) -> pd.DataFrame:
        """All scores as one long table, as `harness.statistics` reads it.

        Units that do not apply to a method have one row a metric and status *not-applicable*. Samples for which a
        metric is defined for no method of the pool are left out for everybody.
        """
        import numpy as np
        import pandas as pd

        members = self._pool(entries)
        parts: list[tuple[dict[str, str], dict[str, np.ndarray]]] = []
        for study in self.benchmark.studies:
            for model in study.models:
                for metric in study.metrics:
                    key = _SEPARATOR.join((study.id, model, metric))
                    scored = {entry.method.name: entry.arrays[key] for entry in entries if key in entry.arrays}
                    pool = [values for name, values in scored.items() if name in members]
                    defined = np.asarray(np.isfinite(pool or list(scored.values())).any(axis=0))
                    where = {"cell": f"{study.id}/{model}", "metric": metric, "criterion": METRICS[metric].criterion}
                    where["direction"] = METRICS[metric].direction
                    for entry in entries:
                        name = entry.method.name
                        parts.append(({"method": name, **where}, _rows(scored.get(name), defined)))
        lengths = [len(rows["value"]) for _, rows in parts]
        # One frame from long columns: thousands of small frames take ten times as long.
        columns: dict[str, np.ndarray] = {
            name: np.repeat(np.array([where[name] for where, _ in parts], dtype=object), lengths)
            for name in parts[0][0]
        }
        columns |= {name: np.concatenate([rows[name] for _, rows in parts]) for name in parts[0][1]}
        return pd.DataFrame(columns)

    @property
    def _counted(self) -> list[str]:
        """The criteria that order the board, as far as there are metrics of them."""
        there = {METRICS[use.id].criterion for use in self.benchmark.metrics}
        return [criterion for criterion in self.benchmark.overall if criterion in there]

    def _pool(self, entries: Sequence[Entry]) -> list[str]:
        """The methods of the reference pool that set the scale; without any of them, everybody who may."""
        names = [entry.method.name for entry in settled(entries)]
        return [name for name in self.benchmark.reference if name in names] or names

    def _with_overall(self, entries: Sequence[Entry]) -> list[MeanRanks]:
        """Mean ranks of every criterion, and their mean over the criteria that order the board."""
        import pandas as pd

        settings, pool = self.benchmark.bootstrap, self._pool(entries)
        every = mean_ranks(
            self.frame(entries), cell="cell", reference=pool, replicates=settings.replicates, seed=settings.seed
        )
        counted = [each for each in every if each.criterion in self._counted]
        common = [name for name in counted[0].means.columns if all(name in each.means for each in counted)]
        means = sum((each.means[common] for each in counted[1:]), counted[0].means[common]) / len(counted)
        members = tuple(name for name in common if all(name in each.pool for each in counted))
        missing = pd.concat([each.missing for each in counted], axis=1).sum(axis=1)
        return [*every, MeanRanks(OVERALL, means, means.iloc[0] * 0.0, members, missing)]


def _rows(values: np.ndarray | None, defined: np.ndarray) -> dict[str, np.ndarray]:
    import numpy as np

    if values is None:
        return {
            "observation": np.array([-1]),
            "value": np.array([np.nan]),
            "status": np.array(["not-applicable"], dtype=object),
        }
    kept = values[defined]
    status = np.where(np.isfinite(kept), "ok", "undefined").astype(object)
    return {"observation": np.flatnonzero(defined), "value": kept, "status": status}

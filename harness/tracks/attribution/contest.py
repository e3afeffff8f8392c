"""How XAI methods compare: robust ranks per criterion against a fixed pool (Klein et al. 2024, LATEC)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from harness.data.catalog import LoadedBenchmark
from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution import AttributionBenchmark, ExplainedModel
from harness.spec.board import Cell
from harness.spec.run import Unit
from harness.statistics.criteria import MeanRanks, comparable, mean_ranks, order_by_mean_rank
from harness.tracks.base import Entry, Heading, Outputs, Track

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OVERALL = "overall"
_SEPARATOR = "--"


class AttributionContest:
    """See `harness.tracks.base.Contest`. An entry holds, by `study--model--metric`, the scores (n,) of single samples."""

    def __init__(self, protocol: LoadedBenchmark) -> None:
        self._benchmark = protocol.of(AttributionBenchmark)
        used = {metric for study in self._benchmark.studies for metric in study.metrics}
        criteria = dict.fromkeys(METRICS[use.id].criterion for use in self._benchmark.metrics if use.id in used)
        self.columns = (*criteria, OVERALL)
        self.heading = Heading(
            "mean_rank",
            "mean rank",
            lower_is_better=True,
            explanation=(
                "A method's rank in every metric of a criterion, averaged; ± is how far these ranks disagree: read a "
                "mean rank only where that is low. Scores are clipped, scaled and taken as medians over samples in each "
                "cell (a network on a data set), then averaged over the cells that apply to the method. Ranks are among "
                f"the {len(self._benchmark.reference)} methods of the reference pool; any other method gets the rank "
                "that it would have if it alone joined them. Intervals are over samples (paired bootstrap). "
                f"*{OVERALL}* is the mean over {', '.join(self._benchmark.overall)}."
            ),
        )

    def entry(self, track: Track, answered: Mapping[Unit, Outputs]) -> dict[str, np.ndarray]:
        from harness.tracks.attribution.track import AttributionTrack

        assert isinstance(track, AttributionTrack)
        return {
            _SEPARATOR.join((unit.study, unit.model, metric)): values
            for unit, outputs in answered.items()
            for metric, values in track.values(unit, outputs).items()
        }

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        return exempt_kinds(self._benchmark.source.models, self._benchmark.studies, inapplicable)

    def cells(self, entries: Sequence[Entry]) -> dict[str, dict[str, Cell]]:
        references = {entry.method.name for entry in entries if entry.method.reference}
        cells: dict[str, dict[str, Cell]] = {column: {} for column in self.columns}
        if not entries:
            return cells
        for ranks in self._with_overall(entries):
            order = order_by_mean_rank(ranks.means, ranks.pool)
            for name, row in order.to_dict(orient="index").items():
                whole = {} if name in references else {key: int(row[key]) for key in _RANKS}
                spread = float(ranks.spread[str(name)]) if ranks.criterion != OVERALL else None
                cell = Cell(value=row["value"], low=row["low"], high=row["high"], spread=spread, **whole)
                cells[ranks.criterion][str(name)] = cell
        return cells

    def tied(self, entries: Sequence[Entry], name: str) -> dict[str, tuple[str, ...]]:
        """Those for which the 95 % interval of the paired difference of mean ranks contains 0."""
        references = {entry.method.name for entry in entries if entry.method.reference}
        tied = {}
        for ranks in self._with_overall(entries):
            if name in ranks.means:
                places = comparable(ranks.means, ranks.pool)
                difference = places.iloc[1:].sub(places[name].iloc[1:], axis=0)
                low, high = difference.quantile(0.025), difference.quantile(0.975)
                best_first = places.iloc[0].sort_values(kind="stable").index
                inseparable = [each for each in best_first if low[each] <= 0 <= high[each]]
                tied[ranks.criterion] = tuple(each for each in inseparable if each != name and each not in references)
        return tied

    def frame(self, entries: Sequence[Entry]) -> pd.DataFrame:
        """All scores as one long table, as `harness.statistics` reads it.

        Units that do not apply to a method have one row a metric and status *not-applicable*. Samples for which a
        metric is defined for no method of the pool are left out for everybody.
        """
        import numpy as np
        import pandas as pd

        rows = []
        for study in self._benchmark.studies:
            for model in study.models:
                for metric in study.metrics:
                    key = _SEPARATOR.join((study.id, model, metric))
                    scored = {entry.method.name: entry.arrays[key] for entry in entries if key in entry.arrays}
                    pool = [values for name, values in scored.items() if name in self._benchmark.reference]
                    defined = np.asarray(np.isfinite(pool or list(scored.values())).any(axis=0))
                    where = {"cell": f"{study.id}/{model}", "metric": metric, "criterion": METRICS[metric].criterion}
                    where["direction"] = METRICS[metric].direction
                    for entry in entries:
                        rows.append(_rows(entry.method.name, scored.get(entry.method.name), defined, where))
        return pd.concat(rows, ignore_index=True)

    def _with_overall(self, entries: Sequence[Entry]) -> list[MeanRanks]:
        """Mean ranks of every criterion, and their mean over the criteria that order the board."""
        import pandas as pd

        names = {entry.method.name for entry in entries}
        pool = [name for name in self._benchmark.reference if name in names] or None
        settings = self._benchmark.bootstrap
        every = mean_ranks(
            self.frame(entries), cell="cell", reference=pool, replicates=settings.replicates, seed=settings.seed
        )
        counted = [each for each in every if each.criterion in self._benchmark.overall]
        common = [name for name in counted[0].means.columns if all(name in each.means for each in counted)]
        means = sum((each.means[common] for each in counted[1:]), counted[0].means[common]) / len(counted)
        members = tuple(name for name in common if all(name in each.pool for each in counted))
        missing = pd.concat([each.missing for each in counted], axis=1).sum(axis=1)
        return [*every, MeanRanks(OVERALL, means, means.iloc[0] * 0.0, members, missing)]


class _Study(Protocol):
    """What a study has in every benchmark of explained networks."""

    @property
    def id(self) -> str: ...

    @property
    def models(self) -> tuple[str, ...]: ...


def exempt_kinds(
    models: Sequence[ExplainedModel], studies: Sequence[_Study], inapplicable: Collection[Unit]
) -> list[Unit]:
    """Units of a modality and architecture to which a method does not apply at all.

    A method that leaves out single networks of a kind owes them: else it could choose where it is compared.
    """
    kinds = {model.id: (model.modality, model.architecture) for model in models}
    left_out = {(unit.study, unit.model) for unit in inapplicable}
    owed = {kinds[model] for study in studies for model in study.models if (study.id, model) not in left_out}
    return [unit for unit in inapplicable if kinds[unit.model] not in owed]


_RANKS = ("rank", "rank_low", "rank_high", "group")


def _rows(method: str, values: np.ndarray | None, defined: np.ndarray, where: dict[str, str]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    if values is None:
        given = {"observation": [-1], "value": [np.nan], "status": ["not-applicable"]}
        return pd.DataFrame({"method": method, **where, **given})
    kept = values[defined]
    status = np.where(np.isfinite(kept), "ok", "undefined")
    return pd.DataFrame(
        {"method": method, **where, "observation": np.flatnonzero(defined), "value": kept, "status": status}
    )

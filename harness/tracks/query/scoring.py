"""Metrics of single campaigns, and scores over seeds with intervals by a paired bootstrap.

Replicate b draws held-out samples and seeds. Samples are drawn by data set, the same for all loops, seeds, studies and
methods, so that differences between methods are paired.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.metrics.bootstrap import bootstrap_weights
from harness.metrics.budget_curve import aubc, foreground_efficiency, foreground_efficiency_interval
from harness.spec.query import QueryBenchmark, QueryStudy
from harness.spec.result import Record, Summary
from harness.spec.run import Unit
from harness.storage import content_id
from harness.tracks.base import Outputs
from harness.tracks.query.judging import Judged, judge
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

AUBC, FINAL, START = "aubc", "final_performance", "start_performance"
EFFICIENCY, FOREGROUND, IMAGES = "foreground_efficiency", "annotated_foreground", "annotated_images"
FROM_QUERIES = (FOREGROUND, IMAGES)
"""What follows from the queries and the data alone; the rest also from what trained networks predicted."""
_VERSIONS = {AUBC: "1", FINAL: "1", START: "1", EFFICIENCY: "1", FOREGROUND: "1", IMAGES: "1"}


@dataclass(frozen=True)
class Scores:
    """One metric by study or group: values, and replicates (b,) that are paired across methods."""

    values: dict[str, float]
    replicates: dict[str, np.ndarray]


def metric_versions(benchmark: QueryBenchmark) -> dict[str, str]:
    """Every metric of a benchmark by id."""
    effort = (EFFICIENCY, FOREGROUND) if benchmark.performance == "dice" else (IMAGES,)
    return {name: _VERSIONS[name] for name in (AUBC, FINAL, START, *effort)}


def records(setting: Setting, benchmark: QueryBenchmark, outputs: Outputs) -> tuple[Record, ...]:
    """Every metric of one campaign, in the order of `metric_versions`; *undefined* where it has no meaning.

    A campaign that a limit has shortened is scored over the loops it has.
    """
    campaign = judge(setting, benchmark, outputs)
    values = {
        **dict(zip(_SHARED, _of_curves(campaign.performance), strict=True)),
        EFFICIENCY: _efficiency(setting.study, [campaign]),
        FOREGROUND: None if campaign.foreground is None else float(campaign.foreground[-1]),
        IMAGES: float(campaign.images[-1]),
    }
    return tuple(_record(name, values[name], campaign.samples) for name in metric_versions(benchmark))


def summarize(
    settings: Mapping[str, Setting],
    benchmark: QueryBenchmark,
    answered: Mapping[Unit, Outputs],
    inapplicable: Collection[Unit] = (),
) -> tuple[Summary, ...]:
    """Every metric of every study over its seeds, and performance of every group of studies over its members.

    A study that lacks a seed is *incomplete* and has no value; one that does not apply to the method has no rows.
    Foreground efficiency and annotated foreground are not averaged over studies: they compare within one only.
    """
    judged = {}
    for unit, outputs in answered.items():
        setting = settings[unit.study]
        loops = min(setting.study.loops, max(2, unit.limit or setting.study.loops))
        judged[unit] = judge(setting, benchmark, outputs, loops)
    left_out = {unit.study for unit in inapplicable} - {unit.study for unit in judged}
    scores = study_scores(benchmark, judged)
    names = [name for study in benchmark.studies if study.id not in left_out for name in (study.group, study.id)]
    rows: list[Summary] = []
    for name in dict.fromkeys(names):
        table = _Table(benchmark, judged, name)
        rows += [table.bootstrapped(metric, scores[metric]) for metric in _SHARED]
        if len(table.studies) == 1:
            rows += table.effort()
    return tuple(rows)


def study_scores(benchmark: QueryBenchmark, judged: Mapping[Unit, Judged]) -> dict[str, Scores]:
    """AUBC, final and start performance of every study that has all seeds: the mean over seeds, with replicates.

    A study in which a metric is undefined for a seed is left out of that metric's scores.
    """
    import numpy as np

    scores = {name: Scores({}, {}) for name in _SHARED}
    drawn = _seed_draws(benchmark).T
    for study in benchmark.studies:
        campaigns = campaigns_of(study, judged)
        if len(campaigns) < len(benchmark.seeds):
            continue
        weights = _weights(benchmark.bootstrap.replicates, _sample_seed(benchmark, study), campaigns[0].samples)
        curves = np.stack([each.replicates(weights) for each in campaigns])
        values = zip(*(_of_curves(each.performance) for each in campaigns), strict=True)
        for name, of_seeds, replicates in zip(_SHARED, values, _reduced(curves), strict=True):
            defined = [value for value in of_seeds if value is not None]
            if len(defined) == len(campaigns):
                scores[name].values[study.id] = float(np.mean(defined))
                scores[name].replicates[study.id] = np.take_along_axis(replicates, drawn, axis=0).mean(axis=0)
    return scores


def group_scores(benchmark: QueryBenchmark, scores: Scores) -> Scores:
    """The same for each group of studies: the mean over its members. Groups with a missing member are left out."""
    import numpy as np

    grouped = Scores({}, {})
    for group in dict.fromkeys(study.group for study in benchmark.studies):
        members = [study.id for study in benchmark.studies if study.group == group]
        if all(member in scores.values for member in members):
            grouped.values[group] = float(np.mean([scores.values[member] for member in members]))
            grouped.replicates[group] = np.mean([scores.replicates[member] for member in members], axis=0)
    return grouped


def campaigns_of(study: QueryStudy, judged: Mapping[Unit, Judged]) -> list[Judged]:
    """The campaigns of a study in the order of their seeds."""
    return [judged[unit] for unit in sorted(judged, key=lambda u: u.model_seed) if unit.study == study.id]


def study_efficiency(
    benchmark: QueryBenchmark, study: QueryStudy, campaigns: Sequence[Judged]
) -> tuple[float, float | None, float | None] | None:
    """Foreground efficiency over the seeds of a study with its 95 % interval over seeds; None where undefined.

    The method's own curves are enough: the start, on which the fit's common parameters rest, is everybody's.
    """
    import numpy as np

    value = _efficiency(study, campaigns)
    if value is None or study.full_performance is None or len(campaigns) < 2:
        return None if value is None else (value, None, None)
    settings = benchmark.bootstrap
    fit = foreground_efficiency_interval(
        _points(campaigns), study.full_performance, n=settings.replicates, seed=settings.seed
    )[""]
    return (value, fit.low, fit.high) if np.isfinite(fit.low) else (value, None, None)


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval, over the replicates in which the metric is defined."""
    import numpy as np

    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return float(low), float(high)


_SHARED = (AUBC, FINAL, START)
"""What every performance curve has."""


class _Table:
    """Rows of a study, or of a group of studies."""

    def __init__(self, benchmark: QueryBenchmark, judged: Mapping[Unit, Judged], name: str) -> None:
        self._benchmark, self._name = benchmark, name
        self.studies = [study for study in benchmark.studies if name in (study.id, study.group)]
        self._members = {unit: each for unit, each in judged.items() if unit.study in {s.id for s in self.studies}}
        self._judged = judged

    def bootstrapped(self, metric: str, scores: Scores) -> Summary:
        grouped = group_scores(self._benchmark, scores)
        values = {**grouped.values, **scores.values}
        if self._name not in values:
            return self._row(metric, None)
        low, high = interval({**grouped.replicates, **scores.replicates}[self._name])
        return self._row(metric, values[self._name], low, high)

    def effort(self) -> Iterator[Summary]:
        """What annotation was spent on; facts, so without intervals, aside from efficiency."""
        import numpy as np

        [study] = self.studies
        campaigns = campaigns_of(study, self._judged)
        whole = campaigns if self._complete else []
        if self._benchmark.performance != "dice":
            yield self._row(IMAGES, float(np.mean([each.images[-1] for each in whole])) if whole else None)
            return
        fit = study_efficiency(self._benchmark, study, whole) if whole else None
        yield self._row(EFFICIENCY, *(fit or (None,)))
        shares = [each.foreground[-1] for each in whole if each.foreground is not None]
        yield self._row(FOREGROUND, float(np.mean(shares)) if shares else None)

    @property
    def _complete(self) -> bool:
        return len(self._members) == len(self._benchmark.seeds) * len(self.studies)

    def _row(self, metric: str, value: float | None, low: float | None = None, high: float | None = None) -> Summary:
        part_of = next((s.group for s in self.studies if s.id == self._name != s.group), None)
        return Summary(
            study=self._name,
            metric=metric,
            value=value,
            low=low,
            high=high,
            n=sum(each.samples for each in self._members.values()),
            seeds=len({unit.model_seed for unit in self._members}),
            part_of=part_of,
            status="ok" if value is not None else "undefined" if self._complete else "incomplete",
        )


def _of_curves(performance: np.ndarray) -> tuple[float | None, ...]:
    """`_SHARED` of one curve (loops,); None where it is undefined."""
    import numpy as np

    whole = bool(np.isfinite(performance).all())
    area = float(aubc(performance)) if whole else None
    final, start = (float(each) if np.isfinite(each) else None for each in (performance[-1], performance[0]))
    return area, final, start


def _reduced(curves: np.ndarray) -> tuple[np.ndarray, ...]:
    """`_SHARED` of curves (seeds, b, loops): (seeds, b) each; NaN where undefined."""
    areas = ((curves[..., 1:] + curves[..., :-1]) / 2).mean(axis=-1)
    return areas, curves[..., -1], curves[..., 0]


def _efficiency(study: QueryStudy, campaigns: Sequence[Judged]) -> float | None:
    if study.full_performance is None:
        return None
    try:
        return foreground_efficiency(_points(campaigns), study.full_performance)[""]
    except ValueError:  # the curves leave no gap that an efficiency could describe, or are undefined themselves
        return None


def _points(campaigns: Sequence[Judged]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Foreground and performance (seeds, loops) of one method."""
    import numpy as np

    foreground = [each.foreground for each in campaigns if each.foreground is not None]
    return {"": (np.stack(foreground), np.stack([each.performance for each in campaigns]))}


def _record(name: str, value: float | None, n: int) -> Record:
    return Record(metric=name, value=value, n=n, status="undefined" if value is None else "ok")


def _sample_seed(benchmark: QueryBenchmark, study: QueryStudy) -> int:
    return int(content_id([benchmark.bootstrap.seed, study.dataset])[:8], 16)


@lru_cache(maxsize=16)
def _weights(replicates: int, seed: int, samples: int) -> np.ndarray:
    return bootstrap_weights(samples, replicates, seed)


def _seed_draws(benchmark: QueryBenchmark) -> np.ndarray:
    """Which seeds each replicate takes, (b, seeds), shared by all studies and methods."""
    import numpy as np

    settings, seeds = benchmark.bootstrap, len(benchmark.seeds)
    return np.random.default_rng([settings.seed, seeds]).integers(seeds, size=(settings.replicates, seeds))

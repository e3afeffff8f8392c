"""Metrics of single units, and scores over seeds with intervals by a paired bootstrap.

Replicate b draws test samples and training seeds. The draws depend only on the benchmark, so that
they are the same for every method, and differences between methods are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.metrics.bootstrap import bootstrap_weights, weighted_replicates
from harness.metrics.registry import METRICS, MetricInfo
from harness.spec.result import Record, Summary
from harness.storage import content_id

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.run import Unit
    from harness.tracks.base import Outputs
    from harness.tracks.confidence.track import ConfidenceTrack, Judged

Replicates = dict[str, "np.ndarray"]

FAILURE_RATE = "failure_rate"
"""Not a score of the method but the frame it is read in: scores at other failure rates are not comparable."""


def measure(metric: MetricInfo, judged: Judged) -> Record:
    """One metric of one unit; *undefined* where it has no meaning for these confidences."""
    import numpy as np

    count = len(judged.confidence)
    if not count or not _defined(metric, judged):
        return Record(metric=metric.id, value=None, n=count, status="undefined")
    value = float(metric.function(*_arguments(metric, judged)))
    if not np.isfinite(value):
        return Record(metric=metric.id, value=None, n=count, status="undefined")
    return Record(metric=metric.id, value=value, n=count)


def failure_rate(judged: Judged) -> Record:
    """Share of the counted samples that are failures."""
    count = len(judged.residual)
    if not count:
        return Record(metric=FAILURE_RATE, value=None, n=0, status="undefined")
    return Record(metric=FAILURE_RATE, value=float(judged.residual.mean()), n=count)


def summarize(track: ConfidenceTrack, answered: Mapping[Unit, Outputs]) -> tuple[Summary, ...]:
    """Every metric of every study over its seeds, then of every group of studies over its members."""
    judged = {unit: track.judge(unit, outputs) for unit, outputs in answered.items()}
    rows = _failure_rates(track, judged)
    for name in track.benchmark.metrics:
        rows += _summaries(track, METRICS[name], judged)
    order = {study.id: i for i, study in enumerate(track.benchmark.studies)}
    return tuple(sorted(rows, key=lambda row: (order.get(row.study, -1), row.study)))


def study_replicates(
    track: ConfidenceTrack, metric: MetricInfo, judged: Mapping[Unit, Judged]
) -> tuple[dict[str, float], Replicates]:
    """Value and bootstrap replicates (b,) of each study: the mean over its seeds.

    Studies for which the metric is undefined on any seed are left out.
    """
    import numpy as np

    values: dict[str, float] = {}
    replicates: Replicates = {}
    for study in track.benchmark.studies:
        members = {unit: each for unit, each in judged.items() if unit.study == study.id}
        records = [measure(metric, each) for each in members.values()]
        if not records or any(record.value is None for record in records):
            continue
        values[study.id] = float(np.mean([record.value for record in records]))
        over_seeds = np.stack([_unit_replicates(track, metric, study.id, each) for each in members.values()])
        drawn = _seed_draws(track, len(members))
        replicates[study.id] = np.take_along_axis(over_seeds, drawn.T, axis=0).mean(axis=0)
    return values, replicates


def group_means(
    track: ConfidenceTrack, values: Mapping[str, float], replicates: Replicates
) -> tuple[dict[str, float], Replicates]:
    """The same for each group of studies: the mean over its members. Groups with a missing member are left out."""
    import numpy as np

    grouped: dict[str, float] = {}
    grouped_replicates: Replicates = {}
    for group in dict.fromkeys(study.group for study in track.benchmark.studies):
        members = [study.id for study in track.benchmark.studies if study.group == group]
        if all(member in values for member in members):
            grouped[group] = float(np.mean([values[member] for member in members]))
            grouped_replicates[group] = np.mean([replicates[member] for member in members], axis=0)
    return grouped, grouped_replicates


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval, over the replicates in which the metric is defined."""
    import numpy as np

    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return float(low), float(high)


def _summaries(track: ConfidenceTrack, metric: MetricInfo, judged: Mapping[Unit, Judged]) -> list[Summary]:
    values, replicates = study_replicates(track, metric, judged)
    groups, group_replicates = group_means(track, values, replicates)
    names = [study.id for study in track.benchmark.studies]
    extra = [group for group in groups if group not in names]
    rows = []
    for name in names + extra:
        members = [unit for unit in judged if name in (unit.study, track.study(unit.study).group)]
        count, seeds = (
            sum(len(judged[unit].confidence) for unit in members),
            len({unit.model for unit in members}),
        )
        value = values.get(name, groups.get(name))
        if not members:
            continue
        if value is None:
            rows.append(Summary(study=name, metric=metric.id, value=None, n=count, seeds=seeds, status="undefined"))
            continue
        low, high = interval(replicates[name] if name in replicates else group_replicates[name])
        rows.append(Summary(study=name, metric=metric.id, value=value, low=low, high=high, n=count, seeds=seeds))
    return rows


def _failure_rates(track: ConfidenceTrack, judged: Mapping[Unit, Judged]) -> list[Summary]:
    """Failure rate of every study and group, mean over units; a fact, so without an interval."""
    import numpy as np

    rows = []
    for name in dict.fromkeys(
        [study.id for study in track.benchmark.studies] + [s.group for s in track.benchmark.studies]
    ):
        members = {unit: each for unit, each in judged.items() if name in (unit.study, track.study(unit.study).group)}
        rates = [record.value for each in members.values() if (record := failure_rate(each)).value is not None]
        if rates:
            count, seeds = sum(len(each.residual) for each in members.values()), len({unit.model for unit in members})
            value = float(np.mean(rates))
            rows.append(Summary(study=name, metric=FAILURE_RATE, value=value, n=count, seeds=seeds))
    return rows


def _unit_replicates(track: ConfidenceTrack, metric: MetricInfo, study: str, judged: Judged) -> np.ndarray:
    """Values of the metric (b,) under the study's resamples, of which only the kept samples count."""
    import numpy as np

    settings = track.benchmark.bootstrap
    seed = int(content_id([settings.seed, study])[:8], 16)
    weights = _weights(settings.replicates, seed, tuple(np.bincount(judged.stratum).tolist()))[:, judged.keep]
    confidence, residual, *labels = _arguments(metric, judged)
    options = {"labels": labels[0]} if labels else {}
    return weighted_replicates(confidence, residual, weights, metric.function, **options)


@lru_cache(maxsize=16)
def _weights(replicates: int, seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    strata = np.repeat(np.arange(len(sizes)), sizes)
    return bootstrap_weights(int(sum(sizes)), replicates, seed, strata=strata)


def _seed_draws(track: ConfidenceTrack, seeds: int) -> np.ndarray:
    """Which seeds each replicate takes, (b, seeds), shared by all studies and methods."""
    import numpy as np

    settings = track.benchmark.bootstrap
    rng = np.random.default_rng([settings.seed, seeds])
    return rng.integers(seeds, size=(settings.replicates, seeds))


def _arguments(metric: MetricInfo, judged: Judged) -> tuple[np.ndarray, ...]:
    given = (judged.confidence, judged.residual)
    return (*given, judged.labels) if "labels" in metric.needs else given


def _defined(metric: MetricInfo, judged: Judged) -> bool:
    """Calibration speaks of probabilities only."""
    if "probability confidence" not in metric.needs:
        return True
    return float(judged.confidence.min()) >= 0.0 and float(judged.confidence.max()) <= 1.0

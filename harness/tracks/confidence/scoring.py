"""Metrics of single units, and scores over seeds with intervals by a paired bootstrap.

Replicate b draws test samples and training seeds. The draws depend only on the benchmark, so that
they are the same for every method, and differences between methods are paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.metrics.bootstrap import bootstrap_weights, replicate_table
from harness.metrics.quick_augrc import augrc_of_counts, quick
from harness.metrics.registry import METRICS, MetricInfo
from harness.spec.result import Record, Summary
from harness.storage import content_id

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.benchmark import ConfidenceBenchmark
    from harness.spec.run import Unit

_NEED_BOTH_OUTCOMES = ("failure_auroc", "fpr_at_tpr", "failure_ap")
FAILURE_RATE = "failure_rate"
"""Not a score of the method but the frame it is read in: scores at other failure rates are not comparable."""


@dataclass(frozen=True)
class Judged:
    """Confidences of one unit beside what they should have told apart; only samples that count.

    confidence, residual, labels: (m,). keep (n,): which of the study's n samples these m are. stratum (n,):
    position of each sample's set within the study.
    """

    confidence: np.ndarray
    residual: np.ndarray
    labels: np.ndarray
    keep: np.ndarray
    stratum: np.ndarray


@dataclass(frozen=True)
class Scores:
    """One metric by study or group: values, and bootstrap replicates (b,) that are paired across methods."""

    values: dict[str, float]
    replicates: dict[str, np.ndarray]


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


def summarize(
    benchmark: ConfidenceBenchmark, judged: Mapping[Unit, Judged], models: Mapping[str, int]
) -> tuple[Summary, ...]:
    """Every metric of every study over its seeds, and of every group of studies over its members.

    A study that lacks the answers on any of its models, so many by study, is *incomplete* and has no value:
    a mean over the seeds that happen to be left would compare with nothing.
    """
    metrics = [METRICS[name] for name in benchmark.metrics]
    units = Counter(unit.study for unit in judged)
    whole = {unit: each for unit, each in judged.items() if units[unit.study] == models[unit.study]}
    rows = _failure_rates(benchmark, judged)
    for name, scores in study_scores(benchmark, metrics, whole).items():
        rows += _summaries(benchmark, name, scores, judged, models)
    order = {name: position for position, name in enumerate(_names(benchmark))}
    return tuple(sorted(rows, key=lambda row: order[row.study]))


def study_scores(
    benchmark: ConfidenceBenchmark, metrics: Sequence[MetricInfo], judged: Mapping[Unit, Judged]
) -> dict[str, Scores]:
    """Metric -> scores of each study: the mean over its seeds.

    A study for which a metric is undefined on any seed is left out of that metric's scores.
    """
    import numpy as np

    scores = {metric.id: Scores({}, {}) for metric in metrics}
    for study in benchmark.compared:
        # In the order of their seeds, so that all methods, whatever their models, share the draws.
        units = sorted((u for u in judged if u.study == study.id), key=lambda u: (u.model_seed, u.model))
        members = [judged[unit] for unit in units]
        records = [{metric.id: measure(metric, each).value for metric in metrics} for each in members]
        defined = [m for m in metrics if records and all(record[m.id] is not None for record in records)]
        over_seeds = [_replicates(benchmark, defined, study.id, each) for each in members]
        for metric in defined:
            drawn = _seed_draws(benchmark, len(members)).T
            stacked = np.stack([each[metric.id] for each in over_seeds])
            scores[metric.id].values[study.id] = float(np.mean([record[metric.id] for record in records]))
            scores[metric.id].replicates[study.id] = np.take_along_axis(stacked, drawn, axis=0).mean(axis=0)
    return scores


def group_scores(benchmark: ConfidenceBenchmark, scores: Scores) -> Scores:
    """The same for each group of studies: the mean over its members. Groups with a missing member are left out."""
    import numpy as np

    grouped = Scores({}, {})
    for group in _groups(benchmark):
        members = [study.id for study in benchmark.compared if study.group == group]
        if all(member in scores.values for member in members):
            grouped.values[group] = float(np.mean([scores.values[member] for member in members]))
            grouped.replicates[group] = np.mean([scores.replicates[member] for member in members], axis=0)
    return grouped


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval, over the replicates in which the metric is defined."""
    import numpy as np

    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return float(low), float(high)


def _summaries(
    benchmark: ConfidenceBenchmark,
    metric: str,
    scores: Scores,
    judged: Mapping[Unit, Judged],
    models: Mapping[str, int],
) -> Iterator[Summary]:
    grouped = group_scores(benchmark, scores)
    values = {**grouped.values, **scores.values}
    replicates = {**grouped.replicates, **scores.replicates}
    for name in _names(benchmark):
        count, seeds = _extent(benchmark, name, judged)
        row = Summary(study=name, metric=metric, value=None, n=count, seeds=seeds, part_of=_part_of(benchmark, name))
        planned = sum(models[study.id] for study in benchmark.compared if name in (study.id, study.group))
        if name in values:
            low, high = interval(replicates[name])
            yield row.model_copy(update={"value": values[name], "low": low, "high": high})
        elif len(_members(benchmark, name, judged)) < planned:
            yield row.model_copy(update={"status": "incomplete"})
        else:
            yield row.model_copy(update={"status": "undefined"})


def _failure_rates(benchmark: ConfidenceBenchmark, judged: Mapping[Unit, Judged]) -> list[Summary]:
    """Failure rate of every study and group, mean over units; a fact, so without an interval."""
    import numpy as np

    rows = []
    for name in _names(benchmark):
        rates = [failure_rate(judged[unit]).value for unit in _members(benchmark, name, judged)]
        known = [rate for rate in rates if rate is not None]
        if known:
            count, seeds = _extent(benchmark, name, judged)
            value, part_of = float(np.mean(known)), _part_of(benchmark, name)
            rows.append(Summary(study=name, metric=FAILURE_RATE, value=value, n=count, seeds=seeds, part_of=part_of))
    return rows


def _replicates(
    benchmark: ConfidenceBenchmark, metrics: Sequence[MetricInfo], study: str, judged: Judged
) -> dict[str, np.ndarray]:
    """Metric -> values (b,) under the study's resamples, of which only the counted samples are looked at."""
    import numpy as np

    settings = benchmark.bootstrap
    seed = int(content_id([settings.seed, study])[:8], 16)
    drawn = (settings.replicates, seed, tuple(np.bincount(judged.stratum).tolist()))
    if [metric.id for metric in metrics] == ["augrc"] and quick(judged.residual):
        rows = np.flatnonzero(judged.keep)
        return {"augrc": augrc_of_counts(judged.confidence, judged.residual, _counts(*drawn), rows)}
    weights = _weights(*drawn)[:, judged.keep]
    functions = {metric.id: metric.function for metric in metrics}
    return replicate_table(judged.confidence, judged.residual, weights, functions, labels=judged.labels)


@lru_cache(maxsize=16)
def _weights(replicates: int, seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    strata = np.repeat(np.arange(len(sizes)), sizes)
    return bootstrap_weights(int(sum(sizes)), replicates, seed, strata=strata)


@lru_cache(maxsize=24)
def _counts(replicates: int, seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    """The same draws, one row per sample, (n, replicates): boards meet all studies once per submission."""
    import numpy as np

    strata = np.repeat(np.arange(len(sizes)), sizes)
    return np.ascontiguousarray(bootstrap_weights(int(sum(sizes)), replicates, seed, strata=strata).T.astype(np.int16))


def _seed_draws(benchmark: ConfidenceBenchmark, seeds: int) -> np.ndarray:
    """Which seeds each replicate takes, (b, seeds), shared by all studies and methods."""
    import numpy as np

    settings = benchmark.bootstrap
    rng = np.random.default_rng([settings.seed, seeds])
    return rng.integers(seeds, size=(settings.replicates, seeds))


def _groups(benchmark: ConfidenceBenchmark) -> list[str]:
    return list(dict.fromkeys(study.group for study in benchmark.compared))


def _names(benchmark: ConfidenceBenchmark) -> list[str]:
    """Every study, each after the first mention of its group."""
    names = [name for study in benchmark.compared for name in (study.group, study.id)]
    return list(dict.fromkeys(names))


def _part_of(benchmark: ConfidenceBenchmark, name: str) -> str | None:
    """The group that a study is averaged into, where that is a column of its own."""
    return next((study.group for study in benchmark.compared if study.id == name != study.group), None)


def _members(benchmark: ConfidenceBenchmark, name: str, judged: Mapping[Unit, Judged]) -> list[Unit]:
    """Units of a study or group."""
    studies = {study.id for study in benchmark.compared if name in (study.id, study.group)}
    return [unit for unit in judged if unit.study in studies]


def _extent(benchmark: ConfidenceBenchmark, name: str, judged: Mapping[Unit, Judged]) -> tuple[int, int]:
    """Counted samples and models of a study or group."""
    members = _members(benchmark, name, judged)
    return sum(len(judged[unit].residual) for unit in members), len({unit.model for unit in members})


def _arguments(metric: MetricInfo, judged: Judged) -> tuple[np.ndarray, ...]:
    given = (judged.confidence, judged.residual)
    return (*given, judged.labels) if "labels" in metric.needs else given


def _defined(metric: MetricInfo, judged: Judged) -> bool:
    """Detection needs both failures and successes, calibration needs probabilities."""
    if metric.id in _NEED_BOTH_OUTCOMES and judged.residual.min() == judged.residual.max():
        return False
    if "probability confidence" not in metric.needs:
        return True
    return float(judged.confidence.min()) >= 0.0 and float(judged.confidence.max()) <= 1.0

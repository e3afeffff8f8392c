"""Metrics on the resamples of a bootstrap: a resample is a weight per sample, and all methods share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics import balanced, calibration, detection, excess, risk_coverage
from harness.metrics._checks import FloatArray, numeric, vector
from harness.metrics._weighted import Kernel, Replicates, Sample, evaluate
from harness.metrics.quick_augrc import RankedFailures, quick
from harness.metrics.registry import METRICS
from harness.statistics import percentile_interval, tied_ranks, weight_rows, weights_by_sample

Metric = Callable[..., float]
"""`metric(confidence, residual, **options) -> value`."""

KERNELS: Mapping[Metric, Kernel] = MappingProxyType(
    {
        risk_coverage.augrc: risk_coverage.augrc_kernel,
        risk_coverage.aurc: risk_coverage.aurc_kernel,
        risk_coverage.partial_augrc: risk_coverage.partial_augrc_kernel,
        risk_coverage.risk_at_coverage: risk_coverage.risk_at_coverage_kernel,
        risk_coverage.coverage_at_risk: risk_coverage.coverage_at_risk_kernel,
        excess.excess_augrc: excess.excess_augrc_kernel,
        excess.excess_aurc: excess.excess_aurc_kernel,
        excess.achievable_aurc: excess.achievable_aurc_kernel,
        balanced.balanced_augrc: balanced.balanced_augrc_kernel,
        balanced.balanced_aurc: balanced.balanced_aurc_kernel,
        detection.failure_auroc: detection.failure_auroc_kernel,
        detection.fpr_at_tpr: detection.fpr_at_tpr_kernel,
        detection.failure_ap: detection.failure_ap_kernel,
        calibration.ece: calibration.ece_kernel,
        calibration.mce: calibration.mce_kernel,
    }
)

_CHUNK = 1 << 16  # counts per chunk: half a megabyte per array, so that a kernel's few arrays stay in cache


@dataclass(frozen=True, eq=False)
class PairedBootstrap:
    """Values of several methods on the same resamples, so that differences between methods are paired."""

    names: tuple[str, ...]
    values: FloatArray
    """(methods,) metric on the original data."""
    replicates: FloatArray
    """(n, methods) metric on each resample; nan where undefined."""
    low: FloatArray
    """(methods,) 2.5 % percentile of the defined replicates; nan if there is none."""
    high: FloatArray
    """(methods,) 97.5 % percentile."""
    ranks: FloatArray
    """(n, methods) rank within each resample: 1 is best, equal values share their mean rank, nan has none."""


def paired_bootstrap(
    confidences: Mapping[str, ArrayLike],
    residual: ArrayLike,
    metric: Metric,
    *,
    n: int = 500,
    seed: int = 0,
    strata: ArrayLike | None = None,
    **options: Any,
) -> PairedBootstrap:
    """Evaluate one metric for several confidence scores (each (samples,)) on n shared resamples.

    `residual` (samples,) belongs to all of them. `strata` as in `bootstrap_weights`. `options` go to the
    metric; `labels`, if given, are resampled along. Input errors are those of the metric; ValueError also
    for no method, n < 1 or a metric that is not in `METRICS`. Intervals are percentile intervals (Efron &
    Tibshirani 1993, "An Introduction to the Bootstrap"); ranking within paired resamples after Traub et
    al. 2024.
    """
    direction = {info.function: info.lower_is_better for info in METRICS.values()}
    if metric not in direction:
        raise ValueError(f"metric {getattr(metric, '__name__', metric)!r} is not in METRICS.")
    if not confidences:
        raise ValueError("confidences is empty: there is no method to evaluate.")
    values = np.array([metric(score, residual, **options) for score in confidences.values()])
    samples = [Sample.of(score, residual) for score in confidences.values()]
    size = len(samples[0].residual)
    if metric is risk_coverage.augrc and quick(samples[0].residual):
        evaluate_all, draws = _augrc_by_sample(samples), weights_by_sample(size, n, seed, strata)
    else:
        evaluate_all, draws = _one_by_one(confidences, residual, metric, options), _draws(size, n, seed, strata)
    replicates = np.concatenate([evaluate_all(chunk) for chunk in draws])
    low, high = percentile_interval(replicates)
    ranks = tied_ranks(replicates if direction[metric] else -replicates)
    return PairedBootstrap(tuple(confidences), values, replicates, low, high, ranks)


def _one_by_one(
    confidences: Mapping[str, ArrayLike], residual: ArrayLike, metric: Metric, options: Mapping[str, Any]
) -> Callable[[NDArray[Any]], FloatArray]:
    """Counts (replicates, n) -> (replicates, methods)."""
    evaluators = [_evaluator(score, residual, metric, options) for score in confidences.values()]

    return lambda counts: np.stack([evaluator(counts) for evaluator in evaluators], axis=1)


def _augrc_by_sample(samples: Sequence[Sample]) -> Callable[[NDArray[Any]], FloatArray]:
    """Counts (n, replicates) -> the same of AUGRC, to the same last digit."""
    ranked = [RankedFailures.of(sample) for sample in samples]

    def values(counts: NDArray[Any]) -> FloatArray:
        most = int(counts.max())
        return np.stack([each.augrc(counts, most) for each in ranked], axis=1)

    return values


def weighted_replicates(
    confidence: ArrayLike, residual: ArrayLike, weights: ArrayLike, metric: Metric, **options: Any
) -> FloatArray:
    """The metric on weighted copies of a sample: (replicates,).

    `weights` (replicates, n) are whole numbers >= 0: how often each sample occurs. Rows may differ in
    their sum. Equals `metric` on the data repeated by these counts, and is nan where that is undefined.
    `metric` is a function of this package or any other `metric(confidence, residual, **options)`;
    `labels` among the options are per sample. ValueError for weights of another form; other errors are
    those of the metric.
    """
    counts = _counts(weights, len(vector("residual", residual)))
    evaluator = _evaluator(confidence, residual, metric, options)
    return np.concatenate([evaluator(chunk) for chunk in _chunks(counts)])


def replicate_table(
    confidence: ArrayLike,
    residual: ArrayLike,
    weights: ArrayLike | Iterator[ArrayLike],
    metrics: Mapping[str, Metric],
    **options: Any,
) -> dict[str, FloatArray]:
    """`weighted_replicates` of several metrics by name, which share the work of sorting and summing.

    `weights` may come as an iterator of some rows at a time, where all at once would fill the memory. Options go to all
    metrics; `labels` only to those that take labels.
    """
    samples = len(vector("residual", residual))
    pieces = weights if isinstance(weights, Iterator) else iter([weights])
    labels = options.pop("labels", None)
    sample = Sample.of(confidence, residual, labels)
    table: dict[str, list[FloatArray]] = {name: [] for name in metrics}
    for chunk in (chunk for piece in pieces for chunk in _chunks(_counts(piece, samples))):
        replicates = Replicates(sample, chunk)
        for name, metric in metrics.items():
            kernel = KERNELS.get(metric)
            table[name].append(
                evaluate(kernel, replicates, **options)
                if kernel
                else _repeating_evaluator(confidence, residual, metric, options)(chunk)
            )
    return {name: np.concatenate(chunks) for name, chunks in table.items()}


def _draws(n: int, replicates: int, seed: int, strata: ArrayLike | None) -> Iterator[NDArray[Any]]:
    """The resamples in chunks of (some, n) weights."""
    rows = weight_rows(n, replicates, seed, strata)
    while chunk := list(islice(rows, _rows_per_chunk(n))):
        yield np.stack(chunk)


def _counts(weights: ArrayLike, samples: int) -> NDArray[Any]:
    counts = numeric("weights", weights)
    if counts.ndim != 2 or counts.shape[1] != samples:
        raise ValueError(f"weights must have shape (replicates, {samples}), got {counts.shape}.")
    whole = counts.dtype.kind in "biu" or bool((counts == np.floor(counts)).all())
    if not whole or (counts < 0).any():
        raise ValueError("weights must be whole numbers >= 0.")
    return counts


def _chunks(counts: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = _rows_per_chunk(counts.shape[1])
    return (_narrow(counts[first : first + step]) for first in range(0, len(counts), step))


def _narrow(counts: NDArray[Any]) -> NDArray[Any]:
    """The same whole numbers >= 0 in the type that is quickest to pick from."""
    if counts.dtype == np.uint8:
        return counts
    fits = counts.max(initial=0) <= np.iinfo(np.uint16).max
    return counts.astype(np.uint16 if fits else np.int64, copy=False)


def _rows_per_chunk(n: int) -> int:
    return max(1, _CHUNK // n)


def _evaluator(
    confidence: ArrayLike, residual: ArrayLike, metric: Metric, options: Mapping[str, Any]
) -> Callable[[NDArray[Any]], FloatArray]:
    """Counts (replicates, n) -> (replicates,), with all that does not depend on the counts done once."""
    kernel = KERNELS.get(metric)
    if kernel is None:
        return _repeating_evaluator(confidence, residual, metric, options)
    settings = {key: value for key, value in options.items() if key != "labels"}
    sample = Sample.of(confidence, residual, options.get("labels"))
    return lambda counts: evaluate(kernel, Replicates(sample, counts), **settings)


def _repeating_evaluator(
    confidence: ArrayLike, residual: ArrayLike, metric: Metric, options: Mapping[str, Any]
) -> Callable[[NDArray[Any]], FloatArray]:
    """For metrics without a kernel: repeat the samples by their counts and evaluate."""
    scores, losses = numeric("confidence", confidence), vector("residual", residual)
    labels = vector("labels", options["labels"]) if "labels" in options else None

    def value(row: NDArray[Any]) -> float:
        if not row.any():
            return float("nan")
        chosen = np.repeat(np.arange(len(row)), row.astype(np.intp))
        resampled = dict(options) if labels is None else {**options, "labels": labels[chosen]}
        return metric(scores[chosen], losses[chosen], **resampled)

    return lambda counts: np.array([value(row) for row in counts])

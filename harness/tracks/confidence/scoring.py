"""Metrics of single units with the replicates of a paired bootstrap over test samples.

The resamples of a study depend only on the benchmark, so that they are the same for every method and model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from harness.data.array_cache import read_cached, write_cached
from harness.metrics.bootstrap import replicate_table
from harness.metrics.proper_scores import are_probabilities
from harness.metrics.quick_augrc import augrc_of_counts, quick
from harness.metrics.registry import METRICS, MetricInfo
from harness.statistics import weight_rows, weights_by_sample
from harness.storage import content_id, seed_of
from harness.tracks.base import Score

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.benchmark import Bootstrap

_NEED_BOTH_OUTCOMES = ("failure_auroc", "fpr_at_tpr", "failure_ap")
FAILURE_RATE = "failure_rate"
"""Not a score of the method but the frame it is read in: scores at other failure rates are not comparable."""


_MOST_KEPT = 1 << 24
"""Counts of resamples up to which those of a study are kept for the next method, by sample and by replicate: 16 MB each."""
_PIECE = 1 << 20
_DRAWS = 1
"""Which way of drawing the kept resamples are from; one more whenever `weight_rows` draws others."""


@dataclass(frozen=True)
class JudgedConfidence:
    """Confidences of one unit beside what they should have told apart; only samples that count.

    confidence, residual, labels: (m,). keep (n,): which of the study's n samples these m are. stratum (n,):
    position of each sample's set within the study.
    """

    confidence: np.ndarray
    residual: np.ndarray
    labels: np.ndarray
    keep: np.ndarray
    stratum: np.ndarray


def confidence_scores(
    names: Sequence[str], judged: JudgedConfidence, bootstrap: Bootstrap, study: str
) -> dict[str, Score]:
    """The named metrics of one unit, the failure rate among them; undefined where they have no meaning."""
    import numpy as np

    count = len(judged.residual)
    metrics = [METRICS[name] for name in names if name != FAILURE_RATE]
    values = {metric.id: metric_value(metric, judged) for metric in metrics}
    replicates = _replicates(bootstrap, [each for each in metrics if not np.isnan(values[each.id])], study, judged)
    scores = {}
    for name in names:
        if name == FAILURE_RATE:
            scores[name] = Score(np.array([judged.residual.mean() if count else np.nan]), count)
        else:
            undefined = np.full(bootstrap.replicates, np.nan)
            scores[name] = Score(np.concatenate([[values[name]], replicates.get(name, undefined)]), count)
    return scores


def metric_value(metric: MetricInfo, judged: JudgedConfidence) -> float:
    """One metric of one unit; NaN where it has no meaning for these confidences."""
    import numpy as np

    if not len(judged.confidence) or not _defined(metric, judged):
        return float("nan")
    given = (judged.confidence, judged.residual, *([judged.labels] if "labels" in metric.needs else []))
    value = float(metric.function(*given))
    return value if np.isfinite(value) else float("nan")


def _replicates(
    bootstrap: Bootstrap, metrics: Sequence[MetricInfo], study: str, judged: JudgedConfidence
) -> dict[str, np.ndarray]:
    """Metric -> values (b,) under the study's resamples, of which only the counted samples are looked at."""
    import numpy as np

    drawn = (bootstrap.replicates, seed_of([bootstrap.seed, study]), tuple(np.bincount(judged.stratum).tolist()))
    found = {}
    functions = {metric.id: metric.function for metric in metrics}
    if "augrc" in functions and quick(judged.residual):
        pieces = _in_pieces_by_sample(*drawn)
        found["augrc"] = augrc_of_counts(judged.confidence, judged.residual, pieces, judged.keep)
        del functions["augrc"]
    if functions:
        weights = (piece[:, judged.keep] for piece in _in_pieces(*drawn))
        found |= replicate_table(judged.confidence, judged.residual, weights, functions, labels=judged.labels)
    return found


def _in_pieces(replicates: int, seed: int, sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The resamples of a study, some (replicates, n) at a time: all at once only where they may be kept."""
    import numpy as np

    samples = sum(sizes)
    if replicates * samples <= _MOST_KEPT:
        yield _by_replicate(replicates, seed, sizes)
        return
    rows = weight_rows(samples, replicates, seed, _strata(sizes))
    while piece := list(islice(rows, max(1, _PIECE // samples))):
        yield np.stack(piece)


def _in_pieces_by_sample(replicates: int, seed: int, sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The same, some (n, replicates) at a time."""
    if replicates * sum(sizes) <= _MOST_KEPT:
        yield _by_sample(replicates, seed, sizes)
        return
    yield from weights_by_sample(sum(sizes), replicates, seed, _strata(sizes))


@lru_cache(maxsize=16)
def _by_replicate(replicates: int, seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    """The resamples of a study, (replicates, n)."""
    import numpy as np

    return np.ascontiguousarray(_by_sample(replicates, seed, sizes).T)


@lru_cache(maxsize=24)
def _by_sample(replicates: int, seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    """The same, one row per sample, (n, replicates): boards meet all studies once per submission.

    Kept on disk where drawing takes long, so that a board with one new submission does not draw them all again.
    """

    samples = sum(sizes)
    key = content_id(["resamples", _DRAWS, replicates, seed, sizes]) if replicates * samples >= _PIECE else ""
    kept = read_cached("resamples", key) if key else None
    if kept is not None and kept.keys() == {"counts"} and kept["counts"].shape == (samples, replicates):
        return kept["counts"]
    (counts,) = weights_by_sample(samples, replicates, seed, _strata(sizes), at_once=replicates)
    if key:
        write_cached("resamples", key, {"counts": counts})
    return counts


def _strata(sizes: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    return np.repeat(np.arange(len(sizes)), sizes)


def _defined(metric: MetricInfo, judged: JudgedConfidence) -> bool:
    """Detection needs both failures and successes, calibration needs probabilities."""
    if metric.id in _NEED_BOTH_OUTCOMES and judged.residual.min() == judged.residual.max():
        return False
    return "probability confidence" not in metric.needs or are_probabilities(judged.confidence)

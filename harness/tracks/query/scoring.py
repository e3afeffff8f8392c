"""Metrics of single campaigns with the replicates of a paired bootstrap over held-out samples.

Samples are drawn by data set, the same for all loops, seeds, studies and methods.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.metrics.budget_curve import aubc, efficiency_replicates, foreground_efficiency
from harness.spec.query import QueryBenchmark, QueryStudy
from harness.spec.run import Unit
from harness.statistics import shared_weights
from harness.storage import seed_of
from harness.tracks.base import Answers, Measurement, Score
from harness.tracks.query.judging import JudgedCampaign, judge
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

AUBC, FINAL, START = "aubc", "final_performance", "start_performance"
EFFICIENCY, FOREGROUND, IMAGES = "foreground_efficiency", "annotated_foreground", "annotated_images"
SHARED = (AUBC, FINAL, START)
"""What every performance curve has."""
FROM_QUERIES = (FOREGROUND, IMAGES)
"""What follows from the queries and the data alone; the rest also from what trained networks predicted."""
_VERSIONS = {AUBC: "1", FINAL: "1", START: "1", EFFICIENCY: "1", FOREGROUND: "1", IMAGES: "1"}


def metric_versions(benchmark: QueryBenchmark) -> dict[str, str]:
    """Every metric of a benchmark by id."""
    effort = (EFFICIENCY, FOREGROUND) if benchmark.performance == "dice" else (IMAGES,)
    return {name: _VERSIONS[name] for name in (*SHARED, *effort)}


def campaign_scores(
    setting: Setting, benchmark: QueryBenchmark, outputs: Answers, loops: int, metrics: Collection[str] | None = None
) -> Measurement:
    """Metrics of one campaign, in the order of `metric_versions`; undefined where they have no meaning.

    Arrays: `performance`, `images` and for segmentation `foreground`, each (loops,).
    """
    import numpy as np

    campaign = judge(setting, benchmark, outputs, loops)
    scores = {name: Score(draws, campaign.samples) for name, draws in _of_curves(benchmark, setting.study, campaign)}
    facts = {IMAGES: float(campaign.images[-1]), EFFICIENCY: np.nan, FOREGROUND: np.nan}
    arrays = {"performance": campaign.performance, "images": campaign.images}
    if campaign.foreground is not None:
        arrays["foreground"] = campaign.foreground
        facts[FOREGROUND] = float(campaign.foreground[-1])
        facts[EFFICIENCY] = _efficiency(setting.study, _points([arrays]))
    scores |= {name: Score(np.array([value]), campaign.samples) for name, value in facts.items()}
    names = [name for name in metric_versions(benchmark) if metrics is None or name in metrics]
    return Measurement({name: scores[name] for name in names}, arrays)


def study_efficiency(
    benchmark: QueryBenchmark, study: QueryStudy, members: Mapping[Unit, Measurement]
) -> np.ndarray | None:
    """Foreground efficiency over the seeds of a study, then of resampled seeds.

    The method's own curves are enough: the start, on which the fit's common parameters rest, is everybody's.
    """
    import numpy as np

    ordered = [members[unit].arrays for unit in sorted(members, key=lambda unit: unit.model_seed)]
    value = _efficiency(study, _points(ordered))
    if study.full_performance is None or not np.isfinite(value) or len(ordered) < 2:
        return np.array([value])
    settings = benchmark.bootstrap
    drawn = efficiency_replicates(_points(ordered), study.full_performance, settings.replicates, settings.seed)
    return np.concatenate([[value], drawn[""]])


def _of_curves(
    benchmark: QueryBenchmark, study: QueryStudy, campaign: JudgedCampaign
) -> Iterator[tuple[str, np.ndarray]]:
    """`SHARED` with draws (1 + replicates,) of one campaign."""
    import numpy as np

    settings = benchmark.bootstrap
    weights = shared_weights(campaign.samples, settings.replicates, seed_of([settings.seed, study.dataset])).T[1:]
    drawn = campaign.replicates(weights)
    areas = ((drawn[..., 1:] + drawn[..., :-1]) / 2).mean(axis=-1)
    own = campaign.performance
    values = (aubc(own) if np.isfinite(own).all() else np.nan, own[-1], own[0])
    for name, value, replicates in zip(SHARED, values, (areas, drawn[..., -1], drawn[..., 0]), strict=True):
        yield name, np.concatenate([[float(value)], replicates])


def _efficiency(study: QueryStudy, points: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> float:
    if study.full_performance is None:
        return float("nan")
    try:
        return foreground_efficiency(points, study.full_performance)[""]
    except ValueError:  # the curves leave no gap that an efficiency could describe, or are undefined themselves
        return float("nan")


def _points(campaigns: Collection[Mapping[str, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Foreground and performance (seeds, loops) of one method."""
    import numpy as np

    foreground, performance = (np.stack([each[name] for each in campaigns]) for name in ("foreground", "performance"))
    return {"": (foreground, performance)}

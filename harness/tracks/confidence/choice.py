"""Which configuration of an experiment counts for a method: the one that is best on its validation set.

After FD-Shifts: for each training set and each score, dropout and reward are those with the best mean over runs of the
primary metric on the validation set, and this one choice holds for all test sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.metrics.registry import METRICS
from harness.spec.grids import GridModel, Model

if TYPE_CHECKING:
    from harness.spec.benchmark import ConfidenceBenchmark
    from harness.spec.run import Unit
    from harness.tracks.base import Measurement


def chosen_models(
    benchmark: ConfidenceBenchmark, models: Sequence[Model], measured: Mapping[Unit, Measurement]
) -> dict[str, tuple[Model, ...]]:
    """Study -> the models whose answers count in it, in their order; selection studies have none.

    Without configurations these are all models that are asked the study. None count where the choice cannot be made,
    because an answer on the validation set is missing or the metric is defined for no configuration.
    """
    selecting = {study.id for study in benchmark.studies if study.kind == "selection"}
    asked = {model.id: {study.id for study in benchmark.studies_of(model)} for model in models}
    values = {
        unit.model: each.scores[benchmark.primary].value for unit, each in measured.items() if unit.study in selecting
    }
    counting: dict[str, tuple[Model, ...]] = {}
    for study in benchmark.compared:
        candidates = tuple(model for model in models if study.id in asked[model.id])
        judged = any(asked[model.id] & selecting for model in candidates)
        counting[study.id] = _best(benchmark, candidates, values) if judged else candidates
    return counting


def _best(
    benchmark: ConfidenceBenchmark, candidates: Sequence[Model], values: Mapping[str, float | None]
) -> tuple[Model, ...]:
    """The models of the configuration with the best mean; of equal ones the first."""
    if any(model.id not in values for model in candidates):
        return ()
    sign = 1.0 if METRICS[benchmark.primary].lower_is_better else -1.0
    means: dict[str, float] = {}
    for configuration, models in configurations(candidates).items():
        found = [values[model.id] for model in models]
        defined = [value for value in found if value is not None]
        if len(defined) == len(found):
            means[configuration] = sign * sum(defined) / len(defined)
    if not means:
        return ()
    return configurations(candidates)[min(means, key=lambda name: means[name])]


def configurations(models: Iterable[Model]) -> dict[str, tuple[Model, ...]]:
    """Configuration -> its models, in their order; models without one share the empty name."""
    found: dict[str, list[Model]] = {}
    for model in models:
        found.setdefault(model.configuration if isinstance(model, GridModel) else "", []).append(model)
    return {name: tuple(each) for name, each in found.items()}

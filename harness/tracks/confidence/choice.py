"""Which configuration of an experiment counts for a method: the one that is best on its validation set.

After FD-Shifts (`filter_best_lr`, `filter_best_hparams`), for each training set and each score, by means over runs of the
primary metric on the validation set:

1. For each dropout and reward, the best learning rate. A rate that is best for any of them is kept for all of them; so
   several may be left of one dropout and reward.
2. The best dropout and reward, each judged by all its networks of the rates that are left.

All networks of that dropout and reward and of the rates that are left count, in all studies of the training set. An
experiment may take over the dropout and reward that another one's validation set chose; its own rates then all count.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from harness.metrics.registry import METRICS
from harness.spec.grids import OWN_CHOICE, GridModel, GridSource, Model, experiment_of

if TYPE_CHECKING:
    from harness.spec.benchmark import ConfidenceBenchmark
    from harness.spec.run import Unit
    from harness.tracks.base import Measurement

AnyModel = TypeVar("AnyModel", bound=Model)
Key = TypeVar("Key", bound=Hashable)


def chosen_models(
    benchmark: ConfidenceBenchmark, models: Sequence[Model], measured: Mapping[Unit, Measurement]
) -> dict[str, tuple[Model, ...]]:
    """Study -> the models whose answers count in it, in their order; selection studies have none.

    Where nothing is to be chosen these are all models that are asked the study. None count where the choice cannot be
    made, because an answer on the validation set is missing or the metric is defined for no configuration.
    """
    selecting = {study.id for study in benchmark.studies if study.kind == "selection"}
    asked = {model.id: {study.id for study in benchmark.studies_of(model)} for model in models}
    values = {
        unit.model: each.scores[benchmark.primary].value for unit, each in measured.items() if unit.study in selecting
    }
    sign = 1.0 if METRICS[benchmark.primary].lower_is_better else -1.0
    costs = {model: None if value is None else sign * value for model, value in values.items()}
    counting: dict[str, tuple[Model, ...]] = {}
    for study in benchmark.compared:
        candidates = tuple(model for model in models if study.id in asked[model.id])
        judged = [model for model in _judged(benchmark, models, candidates) if asked[model.id] & selecting]
        counting[study.id] = _best(candidates, judged, costs) if judged else candidates
    return counting


def configurations(models: Iterable[Model]) -> dict[str, tuple[Model, ...]]:
    """Configuration -> its models, in their order; models without one share the empty name."""
    return _grouped(models, lambda model: model.configuration if isinstance(model, GridModel) else "")


def _judged(benchmark: ConfidenceBenchmark, models: Sequence[Model], candidates: Sequence[Model]) -> list[GridModel]:
    """The models between which a validation set chooses for these candidates, which are of one experiment."""
    if not candidates or not isinstance(benchmark.source, GridSource):
        return []
    experiment = experiment_of(benchmark.source.experiments, candidates[0])
    judge = experiment.id if experiment.choice == OWN_CHOICE else experiment.choice
    return [model for model in models if isinstance(model, GridModel) and model.experiment == judge]


def _best(
    candidates: Sequence[Model], judged: Sequence[GridModel], costs: Mapping[str, float | None]
) -> tuple[Model, ...]:
    """The candidates that count; of equal dropouts and rewards the smallest reward, then no dropout."""
    if any(model.id not in costs for model in judged):
        return ()
    rates: set[float | None] = set()
    for networks in _grouped(judged, _setting).values():
        of_rate: dict[float | None, tuple[GridModel, ...]] = _grouped(networks, _rate)
        by_rate = _means(of_rate, costs)
        if by_rate:
            rates.add(min(by_rate, key=lambda rate: (by_rate[rate], rate or 0.0)))
    left = _grouped((model for model in judged if model.learning_rate in rates), _setting)
    means = _means(left, costs)
    if not means:
        return ()
    best, own = min(means, key=lambda setting: (means[setting], setting)), judged[0].experiment
    return tuple(
        model
        for model in candidates
        if isinstance(model, GridModel)
        and _setting(model) == best
        and (model.experiment != own or model.learning_rate in rates)
    )


def _setting(model: GridModel) -> tuple[float, bool]:
    return model.reward, model.dropout


def _rate(model: GridModel) -> float | None:
    return model.learning_rate


def _means(groups: Mapping[Key, Sequence[Model]], costs: Mapping[str, float | None]) -> dict[Key, float]:
    """Mean of each group in which all are defined."""
    found = {key: [costs[model.id] for model in models] for key, models in groups.items()}
    defined = {key: [each for each in values if each is not None] for key, values in found.items()}
    return {key: sum(values) / len(values) for key, values in defined.items() if len(values) == len(found[key])}


def _grouped(models: Iterable[AnyModel], key: Callable[[AnyModel], Key]) -> dict[Key, tuple[AnyModel, ...]]:
    groups: dict[Key, list[AnyModel]] = {}
    for model in models:
        groups.setdefault(key(model), []).append(model)
    return {name: tuple(each) for name, each in groups.items()}

"""What tracks about explained networks share: studies of several networks on the same samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.spec.attribution import ExplainedModel
from harness.spec.run import Unit
from harness.tracks.attribution.sources import NetworkSource, SampleSet, open_source
from harness.tracks.base import Measurement, Scope, Track, Workload, spread, undeclared
from harness.tracks.pooling import mean_over_units

if TYPE_CHECKING:
    import numpy as np


class NetworksTrack(Track):
    """A unit is a network of a study. All networks of a study see the same samples, so they share the resamples."""

    @cached_property
    def source(self) -> NetworkSource:
        return open_source(self.protocol)

    def scopes(self, measured: Mapping[Unit, Measurement], inapplicable: Collection[Unit] = ()) -> Iterator[Scope]:
        """Every group of studies; networks to which the method does not apply are not missed."""
        for group in dict.fromkeys(study.group for study in self.benchmark.studies):
            studies = {study.id: study for study in self.benchmark.studies if study.group == group}
            exempt = sum(unit.study in studies for unit in inapplicable)
            planned = sum(len(study.models) for study in studies.values()) - exempt
            units = tuple(unit for unit in measured if unit.study in studies)
            yield Scope(group, self.metrics_of(list(studies.values())), units, planned)

    def metrics_of(self, studies: Sequence[Any]) -> tuple[str, ...]:
        """The metrics of a group of studies, in the order of tables."""
        return tuple(self.metric_versions())

    def pooled(self, metric: str, members: Mapping[Unit, Measurement]) -> np.ndarray | None:
        """Mean over networks."""
        return mean_over_units(metric, members.values())

    def repeat(self, unit: Unit) -> object:
        return unit.study, unit.model

    def slow_imports(self) -> tuple[str, ...]:
        return ("torch",)

    def imports_to_show(self) -> tuple[str, ...]:
        return "pandas", "scipy.stats"

    def check_own_files(self) -> None:
        for name in dict.fromkeys(study.samples for study in self.benchmark.studies):
            if not self.protocol.bundled:
                self.source.samples(name)

    def workload(self, units: Sequence[Unit]) -> Workload:
        named = [
            file
            for study in self.benchmark.studies
            for model in study.models
            for file in self.files(self.model(model), study)
        ]
        return Workload(absent=tuple(file for file in dict.fromkeys(named) if not self.protocol.locate(file).is_file()))

    def files(self, model: ExplainedModel, study: Any) -> tuple[str, ...]:
        """Files that the numbers of a network of a study rest on."""
        return tuple(self.source.artefacts(model, study.samples))

    def samples(self, unit: Unit) -> SampleSet:
        """What the unit asks about."""
        return self.limited(self.study(unit.study).samples, unit.limit)

    def limited(self, name: str, limit: int | None) -> SampleSet:
        """A set, or so many of its samples, spread over it."""
        samples = self.source.samples(name)
        return samples.take(spread(len(samples.inputs), limit))

    def model(self, name: str) -> ExplainedModel:
        models: Sequence[ExplainedModel] = self.benchmark.source.models
        return next(model for model in models if model.id == name)

    def inapplicable(self, unit: Unit) -> str:
        """Networks are of a modality and an architecture, for which a method is made or not."""
        model = self.model(unit.model)
        return undeclared(self.method.modalities, model.modality) or undeclared(
            self.method.architectures, model.architecture
        )


def exempt_kinds(
    models: Sequence[ExplainedModel], studies: Sequence[Any], inapplicable: Collection[Unit]
) -> list[Unit]:
    """Units of a modality and architecture to which a method does not apply at all.

    A method that leaves out single networks of a kind owes them: else it could choose where it is compared.
    """
    kinds = {model.id: (model.modality, model.architecture) for model in models}
    left_out = {(unit.study, unit.model) for unit in inapplicable}
    owed = {kinds[model] for study in studies for model in study.models if (study.id, model) not in left_out}
    return [unit for unit in inapplicable if kinds[unit.model] not in owed]

"""The attribution-metric track: a metric's scores of stored maps, and what they say about the metric."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark
from harness.methods.answers import check_varied
from harness.methods.client import MethodClient
from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution import ExplainedModel
from harness.spec.attribution_metric import AttributionMetricBenchmark, AttributionMetricStudy, StoredMaps
from harness.spec.errors import UsageError, unknown
from harness.spec.method import AttributionMetricMethod, DeclaredMethod
from harness.spec.run import Unit
from harness.storage import IntegrityError, array_id, content_id
from harness.tracks.attribution.sources import SampleSet, built, check_fit
from harness.tracks.attribution.studies import NetworksTrack
from harness.tracks.attribution_metric.conversation import ScoringSession, check_maps
from harness.tracks.attribution_metric.maps import MapFile, read_maps
from harness.tracks.base import (
    Answers,
    Measurement,
    PlannedUnit,
    Score,
    Tolerance,
    Workspace,
    check_applies,
    check_unchanged,
    spread,
)

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.attribution_metric.scoring import Judgement
    from harness.tracks.views import Shown, View

SCORES, RANDOMISED = "scores", "randomised"
"""Answers of a unit: scores (methods, n) float32 of the maps of every XAI method, in the file's order, and of their maps
of the randomised network, if the file has any. In the metric's own direction; NaN where it is undefined."""


class AttributionMetricTrack(NetworksTrack):
    """See `harness.tracks.base.Track`."""

    benchmark: AttributionMetricBenchmark
    method: AttributionMetricMethod

    def __init__(
        self, protocol: LoadedBenchmark, method: DeclaredMethod, device: str = "cpu", shuffle: int = 0
    ) -> None:
        super().__init__(protocol, method, device, shuffle)
        self._files: dict[str, MapFile] = {}
        self._judged: dict[str, Judgement] = {}

    def metric_versions(self) -> dict[str, str]:
        from harness.tracks.attribution_metric.scoring import VERSIONS, tau

        if self.method.variant_of is not None and self.method.variant_of not in METRICS:
            raise unknown("metric that it is a variant of", self.method.variant_of, METRICS)
        for criterion, names in self.benchmark.reference.items():
            for name in names:
                if name not in METRICS:
                    raise unknown(f"metric in {self.protocol.path}", name, METRICS)
                if METRICS[name].criterion != criterion:
                    raise UsageError(
                        f"{self.protocol.path}: {name} measures {METRICS[name].criterion}, not {criterion}; move it there."
                    )
        # A change of a reference metric changes nothing: its scores are stored.
        return {tau(criterion): VERSIONS["tau"] for criterion in self.benchmark.reference} | {
            name: version for name, version in VERSIONS.items() if name != "tau"
        }

    def planned(self) -> Iterator[PlannedUnit]:
        for study in self.benchmark.studies:
            for model in map(self.model, study.models):
                yield PlannedUnit(study.id, model.id, model.seed, self._artefacts(model, study))

    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        model, study = self.model(unit.model), self.study(unit.study)
        check_applies(self.inapplicable(unit))
        check_unchanged(unit, self._artefacts(model, study))
        samples, maps = self.samples(unit), self.maps(unit)
        # Built here first: a mistake in the benchmark's own files is not the method's.
        network = built(self.source, model, self.device)
        check_fit(network, samples, f"{model.id} on {study.samples}")
        check_maps(maps, samples, unit.label)
        conversation = ScoringSession(unit, method, samples, self.benchmark.scored_at_once, self.shuffle)
        conversation.begin(self.source.describe(model)[0], network.network)
        scores, randomised = conversation.score(maps)
        outputs = {SCORES: scores} if randomised is None else {SCORES: scores, RANDOMISED: randomised}
        if not self.method.reference:
            check_varied(outputs[SCORES])
        return outputs

    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        """Everything follows from the stored scores."""
        import numpy as np

        judged = self.judged(unit, outputs)
        return Measurement(
            {
                name: Score(draws, judged.samples)
                for name, draws in judged.draws.items()
                if metrics is None or name in metrics
            },
            {"scores": judged.scores, "methods": np.array(judged.methods)},
        )

    def metrics_of(self, studies: Sequence[AttributionMetricStudy]) -> tuple[str, ...]:
        from harness.tracks.attribution_metric.scoring import SEEDS, names_of

        retrained = any(study.retrained for study in studies)
        return tuple(name for name in names_of(self.benchmark) if retrained or name != SEEDS)

    def pooled(self, metric: str, members: Mapping[Unit, Measurement]) -> np.ndarray | None:
        from harness.tracks.attribution_metric.scoring import SEEDS, mean_over_retrained

        return mean_over_retrained(self.benchmark, members) if metric == SEEDS else super().pooled(metric, members)

    def problems(self, unit: Unit, submitted: Answers) -> Iterator[str]:
        import numpy as np

        self._check_stored(unit, submitted)
        for name, values in submitted.items():
            if np.isinf(values).any():
                yield f"{name} of {unit.label} hold infinite values, which no run stores"

    def tolerance(self, name: str) -> Tolerance:
        """As for scores of the attribution track, whose metrics add up many forwards in single precision."""
        return Tolerance(1e-3, "single precision, nearly equal pixels")

    def files(self, model: ExplainedModel, study: Any) -> tuple[str, ...]:
        return (*super().files(model, study), self._stored(model.id, study.samples).file.path)

    def views(self, shown: Shown) -> Iterator[View]:
        from harness.tracks.attribution_metric.picture import metric_views

        return metric_views(self, shown)

    def judged(self, unit: Unit, outputs: Answers) -> Judgement:
        """What the scores of a unit say about the metric. Remembered, because records, summaries and boards ask."""
        from harness.tracks.attribution_metric.scoring import judge

        key = content_id([unit.canonical(), {name: array_id(array) for name, array in outputs.items()}])
        if key not in self._judged:
            self._check_stored(unit, outputs)
            self._judged[key] = judge(self.benchmark, self.method, self.maps(unit), outputs)
        return self._judged[key]

    def samples(self, unit: Unit) -> SampleSet:
        """What was explained, without masks of where the truth lies."""
        return replace(super().samples(unit), masks=None)

    def maps(self, unit: Unit) -> MapFile:
        """The maps that the unit asks about. Raises IntegrityError for those of other samples, or without sanity rows."""
        artefact = self._stored(unit.model, self.study(unit.study).samples).file
        path, found = self.protocol.verified(artefact)
        if found not in self._files:
            self._files[found] = read_maps(path)
        file = self._files[found]
        for name in self.benchmark.sanity:
            if name not in file.maps:
                raise unknown(f"sanity row in {path}", name, file.maps)
        if not set(file.maps) - set(self.benchmark.sanity):
            raise UsageError(f"{path} holds maps of no XAI method beside the sanity rows.")
        for names in self.benchmark.reference.values():
            for name in names if file.reference else ():
                if name not in file.reference:
                    raise unknown(f"reference metric in {path}", name, file.reference)
        rows = spread(len(next(iter(file.maps.values()))), unit.limit)
        return MapFile(
            {name: maps[rows] for name, maps in file.maps.items()},
            {name: maps[rows] for name, maps in file.randomised.items()},
            {name: scores[:, rows] for name, scores in file.reference.items()},
        )

    def _stored(self, model: str, samples: str) -> StoredMaps:
        stored = self.benchmark.source.maps
        return next(each for each in stored if (each.model, each.samples) == (model, samples))

    def _artefacts(self, model: ExplainedModel, study: AttributionMetricStudy) -> list[Any]:
        """All files that scores of the network's maps rest on."""
        artefact = self._stored(model.id, study.samples).file
        at_hand = self.protocol.locate(artefact.path).is_file()
        maps = self.protocol.verified(artefact)[1] if at_hand else artefact.sha256
        return [self.source.artefacts(model, study.samples), maps]

    def _check_stored(self, unit: Unit, stored: Answers) -> None:
        """Raise IntegrityError unless there is one score for each map of the unit."""
        maps = self.maps(unit)
        n = len(next(iter(maps.maps.values())))
        expected = {SCORES: (len(maps.maps), n)}
        if maps.randomised:
            expected[RANDOMISED] = (len(maps.randomised), n)
        if stored.keys() != expected.keys():
            raise IntegrityError(f"the stored answers of {unit.label} are {sorted(stored)}, not {sorted(expected)}")
        for name, shape in expected.items():
            if stored[name].shape != shape or stored[name].dtype != "float32":
                raise IntegrityError(
                    f"{name} of {unit.label} are stored as {stored[name].dtype} of shape {stored[name].shape}, not as "
                    f"float32 scores of {shape[0]} methods on {shape[1]} samples"
                )

"""The meta-evaluation track: a metric's scores of stored maps, and what they say about the metric."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.methods.answers import check_varied
from harness.methods.client import MethodClient, MethodError
from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution import ExplainedModel
from harness.spec.errors import UsageError, unknown
from harness.spec.meta import MetaBenchmark, MetaStudy, StoredMaps
from harness.spec.method import MetricMethod
from harness.spec.result import Record, Summary
from harness.spec.run import RunSpec, Unit
from harness.storage import IntegrityError, array_id, content_id
from harness.tracks.attribution.sources import SampleSet, Source, built, check_fit, open_source
from harness.tracks.base import Audit, Desk, Outputs, Tolerance
from harness.tracks.meta.conversation import Conversation, check_maps
from harness.tracks.meta.maps import MapFile, read_maps

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.meta.scoring import Judgement

SCORES, RANDOMISED = "scores", "randomised"
"""Outputs of a unit: scores (methods, n) float32 of the maps of every XAI method, in the file's order, and of their maps
of the randomised network, if the file has any. In the metric's own direction; NaN where it is undefined."""


class MetaTrack:
    """See `harness.tracks.base.Track`."""

    def __init__(self, protocol: LoadedBenchmark, method: MetricMethod, device: str = "cpu") -> None:
        self.protocol = protocol
        self.benchmark = protocol.of(MetaBenchmark)
        self.method = method
        self._device = device
        self._files: dict[str, MapFile] = {}
        self._judged: dict[str, Judgement] = {}

    @cached_property
    def source(self) -> Source:
        return open_source(self.protocol)

    def metric_versions(self) -> dict[str, str]:
        from harness.tracks.meta.scoring import VERSIONS, tau

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

    def units(self, spec: RunSpec) -> tuple[Unit, ...]:
        method = content_id(spec.method.model_dump(mode="json", exclude={"target", "summary", "citation"}))
        metrics = content_id(spec.metric_versions)
        return tuple(
            Unit(
                task="attribution-metric",
                benchmark_hash=spec.benchmark_hash,
                method_hash=method,
                model=model.id,
                model_seed=model.seed,
                artefacts_hash=self._artefacts_id(model, study),
                study=study.id,
                seed=spec.seed,
                device=spec.device,
                limit=spec.limit,
                metrics_hash=metrics,
            )
            for study in self.benchmark.studies
            for model in map(self.model, study.models)
        )

    def run(self, unit: Unit, method: MethodClient, desk: Desk | None = None) -> Outputs:
        model, study = self.model(unit.model), self.study(unit.study)
        self._check_applies(model)
        if self._artefacts_id(model, study) != unit.artefacts_hash:
            raise IntegrityError(f"the files of {unit.label} were changed after the run was planned; start it again.")
        samples, maps = self.samples(unit), self.maps(unit)
        # Built here first: a mistake in the benchmark's own files is not the method's.
        network = built(self.source, model, self._device)
        check_fit(network, samples, f"{model.id} on {study.samples}")
        check_maps(maps, samples, unit.label)
        conversation = Conversation(unit, method, samples, self.benchmark.scored_at_once)
        conversation.begin(f"{model.id}/{study.samples}", self.source.describe(model)[0], network.network)
        scores, randomised = conversation.score(maps)
        outputs = {SCORES: scores} if randomised is None else {SCORES: scores, RANDOMISED: randomised}
        if not self.method.reference:
            check_varied(outputs[SCORES])
        return outputs

    def score(self, unit: Unit, outputs: Outputs) -> tuple[Record, ...]:
        from harness.tracks.meta.scoring import records

        return records(self.judged(unit, outputs))

    def summarize(self, answered: Mapping[Unit, Outputs], inapplicable: Collection[Unit] = ()) -> tuple[Summary, ...]:
        from harness.tracks.meta.scoring import summarize

        judged = {unit: self.judged(unit, outputs) for unit, outputs in answered.items()}
        return summarize(self.benchmark, judged, inapplicable)

    def submitted(self, outputs: Outputs) -> Outputs:
        """Everything: all that a metric said are its scores."""
        return outputs

    def as_reported(self, unit: Unit, submitted: Outputs) -> tuple[str, ...]:
        return ()

    def audit(self, unit: Unit, submitted: Outputs) -> Audit:
        """Every record is recomputed from the stored scores. Raises IntegrityError for scores of other maps."""
        import numpy as np

        self._check_stored(unit, submitted)
        problems = [
            f"{name} of {unit.label} hold infinite values, which no run stores"
            for name, values in submitted.items()
            if np.isinf(values).any()
        ]
        return Audit(() if problems else self.score(unit, submitted), (), tuple(problems))

    def tolerance(self, name: str) -> Tolerance:
        """As for scores of the attribution track, whose metrics add up many forwards in single precision."""
        return Tolerance(1e-3, "single precision, nearly equal pixels")

    def absent(self) -> tuple[str, ...]:
        named = [
            file
            for study in self.benchmark.studies
            for model in study.models
            for file in (
                *self.source.artefacts(self.model(model), study.samples),
                self._stored(model, study.samples).file.path,
            )
        ]
        return tuple(file for file in dict.fromkeys(named) if not self.protocol.locate(file).is_file())

    def trainings(self, unit: Unit) -> int:
        return 0

    def uncomputed(self) -> int:
        return 0

    def judged(self, unit: Unit, outputs: Outputs) -> Judgement:
        """What the scores of a unit say about the metric. Remembered, because records, summaries and boards ask."""
        from harness.tracks.meta.scoring import judge

        key = content_id([unit.canonical(), {name: array_id(array) for name, array in outputs.items()}])
        if key not in self._judged:
            self._check_stored(unit, outputs)
            self._judged[key] = judge(self.benchmark, self.method, self.maps(unit), outputs)
        return self._judged[key]

    def samples(self, unit: Unit) -> SampleSet:
        """What was explained."""
        samples = self.source.samples(self.study(unit.study).samples)
        rows = _rows(unit, len(samples.inputs))
        return SampleSet(samples.inputs[rows], samples.targets[rows], None, samples.background)

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
        rows = _rows(unit, len(next(iter(file.maps.values()))))
        return MapFile(
            {name: maps[rows] for name, maps in file.maps.items()},
            {name: maps[rows] for name, maps in file.randomised.items()},
            {name: scores[:, rows] for name, scores in file.reference.items()},
        )

    def model(self, name: str) -> ExplainedModel:
        return next(model for model in self.benchmark.source.models if model.id == name)

    def study(self, name: str) -> MetaStudy:
        return next(study for study in self.benchmark.studies if study.id == name)

    def _stored(self, model: str, samples: str) -> StoredMaps:
        stored = self.benchmark.source.maps
        return next(each for each in stored if (each.model, each.samples) == (model, samples))

    def _artefacts_id(self, model: ExplainedModel, study: MetaStudy) -> str:
        """Of all files that scores of the network's maps rest on."""
        artefact = self._stored(model.id, study.samples).file
        at_hand = self.protocol.locate(artefact.path).is_file()
        maps = self.protocol.verified(artefact)[1] if at_hand else artefact.sha256
        return content_id([self.source.artefacts(model, study.samples), maps])

    def _check_applies(self, model: ExplainedModel) -> None:
        for kind, declared in (
            (model.modality, self.method.modalities),
            (model.architecture, self.method.architectures),
        ):
            if kind not in declared:
                raise MethodError("not-applicable", f"it is declared for {', '.join(declared)}, not for {kind}")

    def _check_stored(self, unit: Unit, stored: Outputs) -> None:
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


def _rows(unit: Unit, count: int) -> np.ndarray:
    """The samples of a unit: all, or as many as its limit, spread over all."""
    import numpy as np

    few = count if unit.limit is None else min(unit.limit, count)
    return (np.arange(few) * count) // max(few, 1)

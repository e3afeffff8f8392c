"""The meta-evaluation track: a metric's scores of stored maps, and what they say about the metric."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from harness.data.catalog import Protocol
from harness.methods.answers import check_varied, checked_scores
from harness.methods.client import MethodClient, MethodError
from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution import ExplainedModel
from harness.spec.errors import UsageError, unknown
from harness.spec.meta import MetaBenchmark, MetaStudy, StoredMaps
from harness.spec.method import MetricMethod
from harness.spec.result import Record, Summary
from harness.spec.run import RunSpec, Unit
from harness.storage import IntegrityError, array_id, content_id
from harness.tracks.attribution.models import check_fit, weights_of
from harness.tracks.attribution.sources import SampleSet, Source, built, open_source
from harness.tracks.base import Audit, Desk, Outputs
from harness.tracks.meta.maps import MapFile, read_maps

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.meta.scoring import Judgement

SCORES, RANDOMISED = "scores", "randomised"
"""Outputs of a unit: scores (methods, n) float32 of the maps of every XAI method, in the file's order, and of their maps
of the randomised network, if the file has any. In the metric's own direction; NaN where it is undefined."""

_ROUNDING = 1e-3  # of the spread of the scores: what another batch may change


class MetaTrack:
    """See `harness.tracks.base.Track`."""

    def __init__(self, protocol: Protocol, method: MetricMethod, device: str = "cpu") -> None:
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
        conversation = _Conversation(self, unit, method, samples)
        conversation.begin()
        outputs = conversation.score(maps)
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


class _Conversation:
    """All that is asked of a metric in one unit."""

    def __init__(self, track: MetaTrack, unit: Unit, method: MethodClient, samples: SampleSet) -> None:
        self._track = track
        self._unit = unit
        self._method = method
        self._samples = samples
        self._seed = int(content_id([unit.seed, unit.model, unit.study])[:8], 16)

    def begin(self) -> None:
        """Give the metric's process the network, unless it has it already (and again after a restart)."""
        model = self._track.model(self._unit.model)
        network = built(self._track.source, model, self._track._device)
        check_fit(network, self._samples, f"{model.id} on {self._track.study(self._unit.study).samples}")
        state = f"{self._unit.model}/{self._track.study(self._unit.study).samples}"
        if self._method.state == state:
            return
        description, _ = self._track.source.describe(model)
        arrays = {f"network/{name}": array for name, array in weights_of(network.network).items()}
        if self._samples.background is not None:
            arrays["background"] = self._samples.background
        self._method.call("fit", arrays, seed=self._seed, meta={"network": description.as_meta()})
        self._method.state = state

    def score(self, maps: MapFile) -> dict[str, np.ndarray]:
        """Scores of all maps, asked in an order that tells nothing about who made them.

        Raises MethodError for a metric that answers otherwise for the same maps in another batch, unless it says so.
        """
        import numpy as np

        every = np.stack([*maps.maps.values(), *maps.randomised.values()])
        rows, n = every.shape[:2]
        if every.shape[3:] != self._samples.inputs.shape[2:] or n != len(self._samples.inputs):
            raise UsageError(
                f"the maps of {self._unit.label} have shape {every.shape[1:]}, which does not fit inputs of shape "
                f"{self._samples.inputs.shape}."
            )
        flat, order = every.reshape(-1, *every.shape[2:]), np.random.default_rng(self._seed).permutation(rows * n)
        scores = np.empty(rows * n, dtype=np.float32)
        scores[order] = self._asked(flat, order, n)
        if not self._track.method.stochastic:
            self._check_repeatable(flat, order, scores, n)
        table, real = scores.reshape(rows, n), len(maps.maps)
        return {SCORES: table[:real]} | ({RANDOMISED: table[real:]} if maps.randomised else {})

    def _asked(self, maps: np.ndarray, chosen: np.ndarray, n: int) -> np.ndarray:
        """Scores of the chosen maps, of which every n in turn belong to the same samples."""
        import numpy as np

        at_once, parts = self._track.benchmark.scored_at_once, []
        for start in range(0, len(chosen), at_once):
            some = chosen[start : start + at_once]
            given = {"inputs": self._samples.inputs[some % n], "targets": self._samples.targets[some % n]}
            answer = self._method.call("score", {**given, "maps": maps[some]}, seed=self._seed)
            parts.append(checked_scores(answer, len(some)))
        return np.concatenate(parts)

    def _check_repeatable(self, maps: np.ndarray, order: np.ndarray, scores: np.ndarray, n: int) -> None:
        """Ask about some maps again, in other company: every seventh, last first."""
        import numpy as np

        some = order[::-7][: self._track.benchmark.scored_at_once]
        again, defined = self._asked(maps, some, n), scores[np.isfinite(scores)]
        spread = float(np.ptp(defined)) if defined.size else 0.0
        if not np.allclose(again, scores[some], rtol=0.0, atol=_ROUNDING * spread, equal_nan=True):
            raise MethodError(
                "invalid",
                "it gave other scores to the same maps in another batch; score each map by itself, or declare "
                "stochastic=True if it draws numbers for whole batches",
            )

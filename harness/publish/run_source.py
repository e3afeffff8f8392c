"""Maps and scores of sealed runs of the attribution track, as records of the meta-evaluation data set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.data.meta_evaluation import MapRecord, ScoreRecord
from harness.execution.run_result import RunResult
from harness.metrics.attribution.registry import make_metric
from harness.publish.schema import MapConfig
from harness.spec.attribution import AttributionBenchmark, AttributionStudy
from harness.spec.errors import UsageError
from harness.spec.result import UnitResult
from harness.tracks.attribution.sources import NetworkSource, SampleSet, built, open_source
from harness.tracks.attribution.track import MAPS
from harness.tracks.attribution.track import SCORES as SCORE_PREFIX

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

_AT_ONCE = 64


@dataclass(frozen=True)
class RunSource:
    """One sealed run; see `harness.publish.meta_evaluation.NetworkSource`."""

    run: RunResult
    decisions: Decisions

    @property
    def protocol(self) -> str:
        return self.run.document.spec.benchmark

    @property
    def method(self) -> str:
        return self.run.document.spec.method.name

    def facts(self) -> dict[str, Any]:
        """What the records follow from, to the last bit."""
        document = self.run.document
        citation = document.spec.method.citation
        missing = [f"{each.study}/{each.model}: {each.status}" for each in document.units if each.status != "ok"]
        return {
            "kind": "run",
            "protocol": self.protocol,
            "protocol_sha256": document.spec.benchmark_hash,
            "method": self.method,
            "method_version": document.spec.method.version,
            "method_source_sha256": document.spec.method.source_sha256,
            "run": document.id,
            "seal": document.seal,
            "harness": document.environment.harness,
            "seed": document.spec.seed,
            "missing": missing,
            "licence": self.decisions.benchmark.licence,
            "citations": [*self.decisions.benchmark.citation, *([citation] if citation else [])],
        }

    def configs(self) -> tuple[MapConfig, ...]:
        return tuple(sorted({self._config(unit) for unit in self._units()}))

    def maps(self, config: MapConfig) -> Iterator[MapRecord]:
        """Raises IntegrityError if stored answers are not those that were scored."""
        for unit in self._units():
            if self._config(unit) == config:
                study = self.decisions.study(unit.study)
                targets = self.decisions.samples(study).targets.tolist()
                predictions = self.decisions.predictions(unit.model, study).tolist()
                maps = self.run.outputs()[unit.unit][MAPS]
                for row, (target, said, map) in enumerate(zip(targets, predictions, maps, strict=True)):
                    yield MapRecord(**self._ids(unit, row), target=target, prediction=said, map=map)

    def scores(self) -> Iterator[ScoreRecord]:
        """Raises as `maps`."""
        versions = self.run.document.spec.metric_versions
        for unit in self._units():
            outputs = self.run.outputs()[unit.unit]
            for name in self.decisions.study(unit.study).metrics:
                direction = make_metric(name, {}).direction
                for row, value in enumerate(outputs[SCORE_PREFIX + name].tolist()):
                    known = value if math.isfinite(value) else None
                    yield ScoreRecord(
                        **self._ids(unit, row),
                        metric=name,
                        metric_version=versions[name],
                        direction=direction,
                        value=known,
                    )

    def _ids(self, unit: UnitResult, row: int) -> dict[str, Any]:
        config = self._config(unit)
        return {
            "modality": config.modality,
            "dataset": config.dataset,
            "model": unit.model,
            "method": self.method,
            "observation": str(row),
        }

    def _units(self) -> list[UnitResult]:
        """In the order of the benchmark, which is the same for all methods."""
        return [unit for unit in self.run.document.units if unit.status == "ok"]

    def _config(self, unit: UnitResult) -> MapConfig:
        model = self.decisions.models[unit.model]
        samples = self.decisions.study(unit.study).samples
        return MapConfig(model.modality, f"{self.decisions.benchmark.id}-{samples}")


@dataclass
class Decisions:
    """Samples of a benchmark, and what its networks say of them; each computed once, for all methods."""

    protocol: LoadedBenchmark
    device: str = "cpu"
    _samples: dict[str, SampleSet] = field(default_factory=dict)
    _predictions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.benchmark = self.protocol.of(AttributionBenchmark)
        self.models = {model.id: model for model in self.benchmark.source.models}
        self._studies = {study.id: study for study in self.benchmark.studies}

    @cached_property
    def source(self) -> NetworkSource:
        return open_source(self.protocol)

    def study(self, name: str) -> AttributionStudy:
        return self._studies[name]

    def samples(self, study: AttributionStudy) -> SampleSet:
        if study.samples not in self._samples:
            self._samples[study.samples] = self.source.samples(study.samples)
        return self._samples[study.samples]

    def predictions(self, model: str, study: AttributionStudy) -> np.ndarray:
        """Classes (n,) that a network predicts."""
        key = (model, study.samples)
        if key not in self._predictions:
            network = built(self.source, self.models[model], self.device).network
            self._predictions[key] = _classes(network, self.samples(study).inputs, self.device)
        return self._predictions[key]


def open_runs(folders: Sequence[Path], own: Sequence[Path] = ()) -> list[RunSource]:
    """Sealed runs by protocol and method. `own`: files of benchmarks that are not bundled.

    Raises UsageError for one that is a rehearsal, of another track, of a benchmark that has changed since, or of a
    method that another one of them is of; IntegrityError for one that is damaged.
    """
    decisions = {protocol.benchmark.name: Decisions(protocol) for protocol in map(load_protocol, own)}
    sources: dict[tuple[str, str], RunSource] = {}
    for folder in folders:
        run = RunResult.open(folder)
        spec = run.document.spec
        if spec.task != "attribution":
            raise UsageError(f"{folder} is a run of the track {spec.task}; name runs of attribution benchmarks.")
        if spec.limit is not None:
            raise UsageError(f"{folder} is a rehearsal of {spec.limit} samples a set; run it without --limit.")
        if spec.benchmark not in decisions:
            decisions[spec.benchmark] = Decisions(run.protocol())
        if decisions[spec.benchmark].protocol.hash != spec.benchmark_hash:
            raise UsageError(f"{folder} was made for another state of {spec.benchmark}; run it again.")
        key = (spec.benchmark, spec.method.name)
        if key in sources:
            raise UsageError(
                f"{folder} and {sources[key].run.folder} are both of {spec.method.name} on {spec.benchmark}; name one."
            )
        sources[key] = RunSource(run, decisions[spec.benchmark])
    return [sources[key] for key in sorted(sources)]


def _classes(network: nn.Module, inputs: np.ndarray, device: str) -> np.ndarray:
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(inputs), _AT_ONCE):
            batch = torch.from_numpy(inputs[start : start + _AT_ONCE]).to(device)
            parts.append(network(batch).argmax(dim=1).cpu())
    classes: np.ndarray = torch.cat(parts).numpy()
    return classes

"""What a run will do: its units, minus those that are done."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.data.catalog import LoadedBenchmark
from harness.methods.discovery import FoundMethod, baseline_names
from harness.spec.errors import UsageError, did_you_mean
from harness.spec.kinds import kind_of, load
from harness.spec.method import MethodSpec
from harness.spec.result import UnitResult, UnitStatus
from harness.spec.run import RunSpec, Unit
from harness.storage import canonical_json, content_id
from harness.tracks.base import Track


@dataclass(frozen=True)
class Plan:
    """A run and its units by id, in the order in which results list them."""

    spec: RunSpec
    id: str
    units: dict[str, Unit]
    folder: Path
    source: bytes
    """The method's file as hashed, kept beside its results."""


def open_track(protocol: LoadedBenchmark, method: MethodSpec, device: str, shuffle: int = 0) -> Track:
    """The track that a benchmark's task names; `shuffle` as in `Track`. Raises UsageError for a method of another kind."""
    task = protocol.benchmark.task
    if method.task != task:
        near = did_you_mean(method.name, baseline_names(task))
        raise UsageError(
            f"{method.name} is a method for {method.task} benchmarks, but {protocol.benchmark.name} is one for "
            f"{task}{f'; {near}' if near else '.'}"
        )
    track: Track = load(kind_of(task).track)(protocol, method, device, shuffle)
    return track


@dataclass(frozen=True)
class PlanRequest:
    """What the user chose that may change a number, and where the run is to lie."""

    out: Path
    seed: int = 0
    device: str = "cpu"
    limit: int | None = None


def make_plan(protocol: LoadedBenchmark, track: Track, method: FoundMethod, request: PlanRequest) -> Plan:
    """Specify the run and list its units. The folder is named after the run's own content, and of files
    that no hash pins after theirs too."""
    benchmark = protocol.benchmark
    spec = run_spec(protocol, track, method.spec, request)
    run = content_id(spec.canonical())
    units = _by_id(track, spec)
    # Where no hash pins the files, they may change under the same specification: units know what is in them.
    own = run if benchmark.locked else content_id([run, *sorted(units)])
    name = f"{benchmark.id}-{benchmark.version}-{method.spec.name}-{own[:12]}"
    return Plan(spec, run, units, request.out / name, method.source)


def plan_units(protocol: LoadedBenchmark, track: Track, method: MethodSpec, request: PlanRequest) -> dict[str, Unit]:
    """The units that a complete run of a method has, by id."""
    return _by_id(track, run_spec(protocol, track, method, request))


def run_spec(protocol: LoadedBenchmark, track: Track, method: MethodSpec, request: PlanRequest) -> RunSpec:
    """Everything that may change a number of the run."""
    benchmark = protocol.benchmark
    return RunSpec(
        task=benchmark.task,
        benchmark=benchmark.name,
        benchmark_hash=protocol.hash,
        method=method,
        metric_versions=track.metric_versions(),
        seed=request.seed,
        device=request.device,
        limit=request.limit,
        submittable=request.limit is None and benchmark.locked,
    )


def _by_id(track: Track, spec: RunSpec) -> dict[str, Unit]:
    """Units by `content_id(unit.canonical())`, of which what they share is written and hashed once.

    Canonical JSON sorts names: those up to `metrics_hash` are the same in all units on the same files. The others are
    slugs and whole numbers, which JSON writes as they are.
    """
    task, begun, units = canonical_json(spec.task), {}, {}
    for unit in track.units(spec):
        if unit.artefacts_hash not in begun:
            shared = {name: value for name, value in unit.canonical().items() if name <= "metrics_hash"}
            begun[unit.artefacts_hash] = hashlib.sha256(canonical_json(shared)[:-1].encode())
        digest = begun[unit.artefacts_hash].copy()
        own = f'"model":"{unit.model}","model_seed":{unit.model_seed},"seed":{unit.seed},"study":"{unit.study}"'
        digest.update(f',{own},"task":{task}}}'.encode())
        units[digest.hexdigest()] = unit
    return units


def unit_result(unit: Unit, status: UnitStatus, reason: str = "") -> UnitResult:
    """How a unit ended, without any scores yet."""
    return UnitResult(
        unit=content_id(unit.canonical()),
        model=unit.model,
        seed=unit.model_seed,
        study=unit.study,
        status=status,
        reason=reason,
    )

"""A finished run scored once more from its stored outputs: nothing is trained and no method is asked."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards.place import units_of
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.result import Record, Summary


@dataclass(frozen=True)
class Replay:
    """Scores as they come out today, and how they differ from the sealed ones."""

    records: dict[str, tuple[Record, ...]]
    """By unit, of units that ended well."""
    summary: tuple[Summary, ...]
    changed: tuple[str, ...]
    """One line per score that is not the sealed one."""


def replay(run: RunResult, protocol: LoadedBenchmark) -> Replay:
    """Score a run again. Raises UsageError for a run of another state of the benchmark, IntegrityError for damage."""
    document = run.document
    if document.spec.benchmark_hash != protocol.hash:
        raise UsageError(f"{run.folder} was made for another state of {protocol.benchmark.name}; evaluate again.")
    units, track = units_of(run, protocol)
    outputs = run.outputs()
    if not set(outputs) <= set(units):
        raise UsageError(f"{run.folder} was made with other files or other versions of the metrics; evaluate again.")
    records = {key: track.score(units[key], each) for key, each in outputs.items()}
    inapplicable = [units[each.unit] for each in document.units if each.status == "not-applicable"]
    summary = track.summarize({units[key]: each for key, each in outputs.items()}, inapplicable)
    changed = [
        f"{unit.study} {unit.model} {new.metric}: {old.value} became {new.value}"
        for unit in document.units
        if unit.unit in records
        for old, new in zip(unit.records, records[unit.unit], strict=True)
        if old != new
    ]
    changed += [
        f"{new.study} {new.metric}: {old.value} became {new.value}"
        for old, new in zip(document.summary, summary, strict=True)
        if old != new
    ]
    return Replay(records, summary, tuple(changed))

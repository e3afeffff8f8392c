"""A finished run scored once more from its stored outputs: nothing is trained and no method is asked."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.spec.result import Record, Summary
from harness.tracks.summary import records, summarize


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
    document, scored = run.document, run.scored(protocol)
    found = {key: records(scored.measured[scored.units[key]]) for key in run.outputs()}
    summary = summarize(scored.track, scored.measured, scored.inapplicable)
    changed = [
        f"{unit.study} {unit.model} {new.metric}: {old.value} became {new.value}"
        for unit in document.units
        if unit.unit in found
        for old, new in zip(unit.records, found[unit.unit], strict=True)
        if old != new
    ]
    changed += [
        f"{new.study} {new.metric}: {old.value} became {new.value}"
        for old, new in zip(document.summary, summary, strict=True)
        if old != new
    ]
    return Replay(found, summary, tuple(changed))

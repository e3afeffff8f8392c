"""Rules about numbers: the run is one that a board takes, and everything that it claims follows from its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.boards.entries import leaderboard_of
from harness.boards.gate.candidate import Candidate
from harness.boards.members import by_unit, unit_key
from harness.boards.submissions import ABOUT, OUTPUTS
from harness.boards.text import hidden_characters, texts_in
from harness.data.catalog import benchmark_files
from harness.execution.answers import outputs_id
from harness.execution.plan import run_spec
from harness.execution.run_files import SEALED
from harness.spec.result import Record, Summary
from harness.storage import array_id, content_id
from harness.tracks.base import Track
from harness.tracks.summary import records, summarize

RELATIVE = 1e-9
"""Largest difference between a claimed and a recomputed number, relative to the larger of them."""
_ZERO = 1e-12  # differences of nearly equal numbers, such as an excess over the optimum, have no relative precision


def benchmark(candidate: Candidate) -> Iterator[str]:
    """It is one of this checkout, in the same state, and for this kind of method."""
    about = candidate.about
    if about.benchmark not in benchmark_files():
        yield f"there is no benchmark {about.benchmark}; there are: {', '.join(benchmark_files())}."
        return
    if about.benchmark_hash != candidate.protocol.hash:
        yield f"it was made for another state of {about.benchmark} (its hash differs); evaluate again."
    if about.method.task != candidate.protocol.benchmark.task:
        yield f"{about.benchmark} is for {candidate.protocol.benchmark.task} methods, this one is for {about.method.task}."


def benchmark_open(candidate: Candidate) -> Iterator[str]:
    """Deprecated and withdrawn benchmarks keep their rows and take no new ones."""
    if ended := candidate.protocol.benchmark.ended:
        yield f"{ended}."


def sealed_run(candidate: Candidate) -> Iterator[str]:
    """`run.json` is sealed, is the run that the submission names, and is no rehearsal."""
    about, run = candidate.about, candidate.run
    if run.id != about.run:
        yield f"{SEALED} is not the run that {ABOUT} names."
    if run.id != content_id(run.spec.canonical()):
        yield f"the id in {SEALED} is not that of its specification."
    for place, text in texts_in(run.model_dump(mode="json")):
        if found := ", ".join(hidden_characters(text)):
            yield f"{place} in {SEALED} holds characters that a reader cannot see ({found}); evaluate again."
    if run.spec.limit is not None:
        yield f"{SEALED} is a rehearsal (made with --limit); evaluate without a limit."
        return
    expected = run_spec(candidate.protocol, candidate.track, about.method, candidate.request)
    if not expected.submittable:
        yield f"{about.benchmark} does not pin its files by sha256, so its runs cannot be compared on a board."
    claimed, planned = run.spec.model_dump(mode="json"), expected.model_dump(mode="json")
    differing = [name for name in planned if claimed[name] != planned[name]]
    if differing:
        yield f"{SEALED} and {ABOUT} do not fit together: {', '.join(differing)} of the run differ; evaluate again."
    if run.environment.git_dirty:
        yield f"{SEALED} was made by a changed harness (git_dirty); commit or undo the changes and evaluate again."


def provenance(candidate: Candidate) -> Iterator[str]:
    """Which harness made the run can be told only where it ran from a checkout."""
    if candidate.run.environment.git_dirty is None:
        yield f"{SEALED} was not made from a git checkout, so nothing says whether its harness was changed."


def every_unit(candidate: Candidate) -> Iterator[str]:
    """Exactly the planned units, each scored or not applicable; a method may not choose where it is compared."""
    ended = [result.unit for result in candidate.run.units]
    if len(set(ended)) != len(ended):
        yield f"{SEALED} lists a unit twice."
    missing = [unit for key, unit in candidate.units.items() if key not in set(ended)]
    yield from (f"{SEALED} lacks the unit {unit.label}." for unit in missing)
    if unknown := set(ended) - set(candidate.units):
        yield f"{SEALED} holds {len(unknown)} units that {candidate.about.benchmark} does not plan for this method."
    if missing or unknown:
        return
    for unit, result in candidate.results():
        if (result.model, result.study, result.seed) != (unit.model, unit.study, unit.model_seed):
            yield f"{SEALED} calls the unit {unit.label} {result.study} · {result.model}, seed {result.seed}."
        elif result.status not in ("ok", "not-applicable"):
            yield f"{unit.label} ended as {result.status} ({result.reason}); a board takes complete runs only."
        elif result.status == "ok" and result.outputs is None:
            yield f"{unit.label} has scores, but no hash of the outputs that they were computed from."
        elif result.status == "not-applicable" and result.records:
            yield f"{unit.label} is not applicable, but has scores."
    exempt = leaderboard_of(candidate.protocol).exempt(candidate.inapplicable)
    owed = [unit for unit in candidate.inapplicable if unit not in exempt]
    yield from (f"{unit.label} is not applicable, for which the benchmark makes no exemption." for unit in owed)


def stored_outputs(candidate: Candidate) -> Iterator[str]:
    """The stored arrays are readable without trust, are those that were hashed, and there are no others."""
    if set(candidate.about.outputs) != {OUTPUTS}:
        yield f"{ABOUT} must name one file of outputs, {OUTPUTS}."
        return
    maps = candidate.about.maps
    if maps is not None and _carries_all(candidate.track):
        yield f"{ABOUT} names maps, but its outputs are all that such a method answers with."
        return
    results = {unit_key(unit): (unit, result) for unit, result in candidate.results()}
    scored = {key for key, (_, result) in results.items() if result.status == "ok"}
    for name in sorted(set(candidate.stored) - scored):
        where = f"for {results[name][0].label}, which is not applicable" if name in results else f"of no unit, {name!r}"
        yield f"{OUTPUTS} holds arrays {where}."
    if maps is not None and (unknown := sorted(set(by_unit(maps.arrays)) - scored)):
        yield f"{ABOUT} names maps of no scored unit, {unknown[0]!r}."
    for key in sorted(scored):
        unit, result = results[key]
        if key not in candidate.stored:
            yield f"{OUTPUTS} lacks the outputs of {unit.label}."
        elif (found := _whole_id(candidate, key)) is not None and found != result.outputs:
            yield f"the outputs of {unit.label} are not those that {SEALED} was computed from (their hash differs)."


def maps(candidate: Candidate) -> Iterator[str]:
    """What the outputs leave out is hashed, so that it can be told from any other later."""
    if candidate.about.maps is None and not _carries_all(candidate.track):
        yield f"{ABOUT} lacks the hashes of the maps that its scores are of; make the folder with: harness submit"


def samples(candidate: Candidate) -> Iterator[str]:
    """One output for each sample of the unit, and none that no honest run gives."""
    for problems in candidate.problems.values():
        yield from problems


def metrics(candidate: Candidate) -> Iterator[str]:
    """Every score of every unit, recomputed."""
    for unit, result in candidate.results():
        if unit not in candidate.measured:
            continue
        reported = candidate.track.as_reported(unit, candidate.answers[unit])
        claimed = {record.metric: record for record in result.records}
        found = {record.metric: record for record in records(candidate.measured[unit])}
        if len(claimed) != len(result.records):
            yield f"{unit.label} claims a metric twice."
        yield from (f"{unit.label} lacks {name}." for name in found if name not in claimed)
        for name, record in claimed.items():
            if name in found and not _same(record, found[name]):
                yield f"{name} of {unit.label} is claimed as {_text(record)}, its outputs give {_text(found[name])}."
            elif name not in found and name not in reported:
                yield f"{unit.label} claims {name}, which {candidate.about.benchmark} does not measure."


def summary(candidate: Candidate) -> Iterator[str]:
    """Scores over units with their intervals, recomputed."""
    claimed = {(row.study, row.metric): row for row in candidate.run.summary}
    recomputed = summarize(candidate.track, candidate.measured, candidate.inapplicable)
    found = {(row.study, row.metric): row for row in recomputed}
    if claimed.keys() != found.keys() or len(claimed) != len(candidate.run.summary):
        yield f"the summary in {SEALED} does not have the rows that its units give."
        return
    for (study, metric), row in claimed.items():
        other = found[study, metric]
        if not _same(row, other):
            yield f"the summary claims {metric} of {study} as {_text(row)}, its outputs give {_text(other)}."


def _same(claimed: Record | Summary, found: Record | Summary) -> bool:
    """Equal but for the rounding of numbers."""
    ours, theirs = claimed.model_dump(), found.model_dump()
    return all(_close(ours[name], theirs[name]) for name in ours)


def _close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=_ZERO)
    return one == other


def _text(row: Record | Summary) -> str:
    if row.value is None:
        return row.status
    interval = f" [{row.low!r}, {row.high!r}]" if isinstance(row, Summary) and row.low is not None else ""
    return f"{row.value!r}{interval} (n = {row.n})"


def _whole_id(candidate: Candidate, key: str) -> str | None:
    """The hash of all that a unit answered, of what is stored and what is only hashed; None where that is not told."""
    told = candidate.about.maps
    if told is None:
        return outputs_id(candidate.stored[key]) if _carries_all(candidate.track) else None
    hashes = {name: array_id(array) for name, array in candidate.stored[key].items()}
    return content_id(by_unit(told.arrays).get(key, {}) | hashes)


def _carries_all(track: Track) -> bool:
    """Whether submissions hold all that the hash of a unit's outputs was computed over."""
    return track.carried("anything")

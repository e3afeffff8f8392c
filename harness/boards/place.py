"""Where a run would stand among the submissions to its benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.boards.build import Progress, rank_column, read_standings
from harness.boards.scores import MEAN, Scores, columns_of, score_method
from harness.data.catalog import benchmark_files, find_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_result import RunResult
from harness.metrics.registry import METRICS
from harness.spec.method import MethodSpec
from harness.tracks.confidence.scoring import interval


@dataclass(frozen=True)
class Place:
    """One column: rank among `of` methods, its 95 % interval, and methods that cannot be told apart from it."""

    metric: str
    column: str
    value: float
    rank: int
    rank_low: int
    rank_high: int
    of: int
    tied_with: tuple[str, ...]


def place_of(run: RunResult, progress: Progress = lambda done, total: None) -> tuple[Place, ...] | str:
    """The run's place in every column, its own earlier submission left out; or why it has none."""
    spec = run.document.spec
    if spec.benchmark not in benchmark_files():
        return "this benchmark has no board"
    protocol = find_protocol(spec.benchmark)
    if protocol.hash != spec.benchmark_hash:
        return "the run was made for another state of the benchmark"
    if spec.limit is not None:
        return "a limited run is a rehearsal and takes no place"
    if any(unit.status != "ok" for unit in run.document.units):
        return "only runs with all units scored take a place"
    track = open_track(protocol, spec.method, spec.device)
    units = plan_units(protocol, track, spec.method, PlanRequest(run.folder, spec.seed, spec.device, spec.limit))
    answered = {units[key]: outputs for key, outputs in run.outputs().items()}
    own = score_method(protocol, track, answered, len(units))
    others = [each for each in read_standings(protocol, progress).scores if not _same(each.method, spec.method)]
    if not others:
        return "the board is empty"
    taken = spec.method.name in {each.method.name for each in others}
    name = f"{spec.method.name} (this run)" if taken else spec.method.name
    own = replace(own, method=own.method.model_copy(update={"reference": False, "name": name}))
    everyone = (*others, own)
    metric = METRICS[protocol.benchmark.primary]
    return tuple(
        _place(own, metric.id, column, rank_column(everyone, column, metric.lower_is_better), others)
        for column in columns_of(protocol)
        if column in own.values
    )


def overall(places: tuple[Place, ...]) -> Place:
    """The place by the mean over all columns."""
    return next(place for place in places if place.column == MEAN)


def _same(submitted: MethodSpec, mine: MethodSpec) -> bool:
    """Whether a submission is an earlier state of the method at hand, so that it is not compared with itself."""
    return submitted.name == mine.name and submitted.origin == mine.origin


def _place(
    own: Scores, metric: str, column: str, ranks: Mapping[str, Mapping[str, int]], others: list[Scores]
) -> Place:
    mine = ranks[own.method.name]
    tied = {each.method.name for each in others if _inseparable(own, each, column)}
    return Place(
        metric=metric,
        column=column,
        value=own.values[column],
        rank=mine["rank"],
        rank_low=mine["rank_low"],
        rank_high=mine["rank_high"],
        of=len(ranks),
        tied_with=tuple(name for name in ranks if name in tied),
    )


def _inseparable(one: Scores, other: Scores, column: str) -> bool:
    """Whether the 95 % interval of the paired difference contains 0."""
    low, high = interval(one.replicates[column] - other.replicates[column])
    return low <= 0.0 <= high

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


@dataclass(frozen=True)
class Place:
    """One column: rank among `of` methods, its 95 % interval, and neighbours that cannot be told apart."""

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
    others = [each for each in read_standings(protocol, progress).scores if each.method.name != spec.method.name]
    if not others:
        return "the board is empty"
    everyone = (*others, replace(own, method=own.method.model_copy(update={"reference": False})))
    lower_is_better = METRICS[protocol.benchmark.primary].lower_is_better
    return tuple(
        _place(own, column, rank_column(everyone, column, lower_is_better))
        for column in columns_of(protocol)
        if column in own.values
    )


def overall(places: tuple[Place, ...]) -> Place:
    """The place by the mean over all columns."""
    return next(place for place in places if place.column == MEAN)


def _place(own: Scores, column: str, ranks: Mapping[str, Mapping[str, int]]) -> Place:
    name = own.method.name
    mine = ranks[name]
    return Place(
        column=column,
        value=own.values[column],
        rank=mine["rank"],
        rank_low=mine["rank_low"],
        rank_high=mine["rank_high"],
        of=len(ranks),
        tied_with=tuple(other for other in ranks if other != name and ranks[other]["group"] == mine["group"]),
    )

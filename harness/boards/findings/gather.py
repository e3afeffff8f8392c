"""Where the numbers behind findings come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.build import read_board, read_standings
from harness.boards.entries import leaderboard_of, method_entry
from harness.boards.findings.evidence import Evidence, Number
from harness.boards.findings.judgement import Origin
from harness.boards.published import read_published
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult, ScoredRun
from harness.metrics.facts import metric_facts
from harness.spec.errors import UsageError
from harness.statistics import metric_ranks
from harness.tracks.leaderboard import Entry
from harness.tracks.summary import scope_draws

if TYPE_CHECKING:
    import numpy as np

_WIDTH = 2 * 1.959963984540054  # of a 95 % interval, in standard errors


def published_evidence(protocol: LoadedBenchmark) -> Evidence:
    """What papers say of a benchmark. The runs behind a number are those of its row, else the seeds of the benchmark."""
    leaderboard = leaderboard_of(protocol)
    seeds = getattr(protocol.benchmark, "seeds", None)
    numbers = []
    for each in read_published(protocol, leaderboard.columns):
        runs = each.runs or (len(seeds) if seeds else 1)
        error = math.nan if each.std is None else each.std / runs**0.5
        numbers.append(
            Number(each.metric or leaderboard.shows.metric, each.column, each.method, each.value, error, runs)
        )
    return _evidence("published", protocol, numbers)


def board_evidence(protocol: LoadedBenchmark) -> Evidence:
    """Ranked rows of the board as it was last built, column by column without the one that sums up; no reference rows.

    Of XAI methods, whose columns are few: all scores of the submissions. Raises UsageError without a board.
    """
    board = read_board(protocol)
    if _by_metric(protocol):
        return _ranked(protocol, "board", read_standings(protocol).entries)
    numbers = [
        Number(board.metric, column, row.method, cell.value, (cell.high - cell.low) / _WIDTH)
        for row in board.rows
        if not (row.reference or row.waits)
        for column, cell in row.cells.items()
        if column in _single(board.columns)
    ]
    return _evidence("board", protocol, numbers, {board.metric: board.lower_is_better})


def run_evidence(folders: Sequence[Path], own: Path | None = None) -> Evidence:
    """Whole runs of different methods on one benchmark; `own`: its file, as in `RunResult.protocol`.

    Raises UsageError for rehearsals, runs with failed units, of several benchmarks, and two of one method.
    """
    runs = [RunResult.open(folder) for folder in folders]
    protocol, names = runs[0].protocol(own), [run.document.spec.method.name for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if run.document.spec.benchmark_hash != protocol.hash:
            raise UsageError(f"{folder} is not about the same benchmark as {folders[0]}; name runs of one benchmark.")
        if run.failed or run.document.spec.limit is not None:
            raise UsageError(f"{folder} is a rehearsal or has failed units; only whole runs can be compared.")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two of these runs are of {repeated}; name one run of each method.")
    scored = [run.scored(protocol) for run in runs]
    if _by_metric(protocol):
        entries = [method_entry(protocol, each.track, each.measured, len(each.measured)) for each in scored]
        return _ranked(protocol, "runs", entries)
    numbers = [number for name, each in zip(names, scored, strict=True) for number in _of_run(name, each)]
    return _evidence("runs", protocol, numbers)


def _of_run(name: str, scored: ScoredRun) -> list[Number]:
    """Every metric of every study, or group that has no rows for its studies, with the standard error of its bootstrap."""
    scopes = list(scored.track.scopes(scored.measured, scored.inapplicable))
    sums = {scope.part_of for scope in scopes}
    found = []
    for scope in scopes:
        whole = scope.name not in sums and len(scope.units) >= scope.planned
        for metric in scope.metrics if whole else ():
            draws = scope_draws(scored.track, scope, scored.measured, metric)
            if draws is not None and math.isfinite(draws[0]):
                found.append(Number(metric, scope.name, name, float(draws[0]), _spread(draws[1:])))
    return found


def _spread(replicates: np.ndarray) -> float:
    """Standard deviation of the defined replicates; NaN without any."""
    import numpy as np

    defined = replicates[np.isfinite(replicates)]
    return float(np.std(defined)) if len(defined) else math.nan


def _by_metric(protocol: LoadedBenchmark) -> bool:
    """Whether methods are ranked in every metric."""
    from harness.tracks.attribution.leaderboard import AttributionLeaderboard

    return isinstance(leaderboard_of(protocol), AttributionLeaderboard)


def _ranked(protocol: LoadedBenchmark, origin: Origin, entries: Sequence[Entry]) -> Evidence:
    """XAI methods: ranks of each in every metric of the criteria that make the overall rank."""
    competitors = [entry for entry in entries if not (entry.method.reference or entry.waits)]
    if not competitors:
        return _evidence(origin, protocol, [])
    leaderboard: Any = leaderboard_of(protocol)
    scores = leaderboard.frame(competitors)
    scores = scores[scores["criterion"].isin(leaderboard.benchmark.overall)]
    ranks = metric_ranks(scores, cell="cell")
    rows = zip(ranks["metric"], ranks["method"], ranks["rank"].to_list(), strict=True)
    numbers = [Number("rank", str(metric), str(method), rank) for metric, method, rank in rows]
    return Evidence(
        origin, protocol.benchmark.name, protocol.benchmark.task, tuple(numbers), {"rank": True}, {}, scores
    )


def _evidence(
    origin: Origin, protocol: LoadedBenchmark, numbers: Sequence[Number], directions: dict[str, bool] | None = None
) -> Evidence:
    facts = {name: bool(fact.lower_is_better) for name, fact in metric_facts().items()}
    groups = {study.id: study.group for study in protocol.benchmark.studies if hasattr(study, "group")}
    name, task = protocol.benchmark.name, protocol.benchmark.task
    return Evidence(origin, name, task, tuple(numbers), facts | (directions or {}), groups)


def _single(columns: Sequence[str]) -> Sequence[str]:
    """Columns without the last, which sums up the others where there are several."""
    return columns[:-1] if len(columns) > 1 else columns

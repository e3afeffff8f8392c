"""A board on one's own disk: rows from the sealed runs in a folder, beside those of the benchmark's submissions if any.

A benchmark of a user's own has no submissions, so its board is of runs alone. Everything after the reading of rows is what
official boards go through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from glob import escape
from pathlib import Path

from harness.boards.build import Standing, Standings, board_of, incomplete, read_standings
from harness.boards.entries import Progress, leaderboard_of, method_entry
from harness.boards.submissions import cost_of, fence_remark
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_files import METHOD, SEALED
from harness.execution.run_result import RunResult
from harness.spec.board import Board, Row, Unranked
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, content_id

RUNS = Path("runs")
"""Where `harness evaluate` keeps runs unless it is told otherwise."""
_FOLDER_DIGITS = re.compile(r"[0-9a-f]{12}$")  # what the folder of a run ends in


@dataclass(frozen=True)
class LocalBoard:
    """A board of runs, and what it is made of. others: how many runs of other benchmarks lie in the folder."""

    board: Board
    standings: Standings
    runs: Path
    others: int

    @property
    def citations(self) -> dict[str, str]:
        """Of the methods, by their names on the board."""
        return {each.entry.method.name: each.citation for each in self.standings.complete}


def local_board(
    protocol: LoadedBenchmark,
    runs: Path = RUNS,
    progress: Progress = lambda done, total: None,
    workers: int | None = None,
) -> LocalBoard:
    """The board of the runs in a folder, on which rows of all tiers have ranks: it is nobody's claim. `progress` and
    `workers` as in `build_board`.

    A method has one row: that of its newest run, where methods are the same that share name, version, file and seed.
    Rehearsals, unfinished and damaged runs, and runs of another state of the benchmark are named with the reason, as
    incomplete ones are. Raises UsageError for a folder without any run that could be ranked.
    """
    found, left_out, others = _found(protocol, runs)
    official = read_standings(protocol, progress, workers) if protocol.bundled else Standings()
    standing, unranked = _scored(protocol, found, progress if not protocol.bundled else lambda done, total: None)
    if not standing:
        raise _nothing(protocol, runs, [*left_out, *unranked], others)
    replaced = [each for each in official.complete if any(_same(each, mine) for mine in standing)]
    kept = [each for each in official.complete if each not in replaced]
    names = frozenset(each.entry.method.name for each in kept)
    unranked += [Unranked(method=each.entry.method.name, reason=_REPLACED) for each in replaced]
    listed = sorted([*official.unranked, *left_out, *unranked], key=lambda each: each.method)
    standings = Standings((*map(_without_folder, kept), *_told_apart(standing, names)), tuple(listed))
    return LocalBoard(board_of(protocol, standings, all_tiers=True), standings, runs, others)


_REPLACED = "the board's own row, in whose place your run of the same method stands"


def _found(protocol: LoadedBenchmark, runs: Path) -> tuple[list[RunResult], list[Unranked], int]:
    """Runs that may have a row, newest first; those of the benchmark that cannot, and why; and how many are of others."""
    if not runs.is_dir():
        raise UsageError(
            f"{runs} is no folder; name the one in which runs are kept, or make a run: {_command(protocol, runs)}"
        )
    if (runs / SEALED).is_file():
        raise UsageError(f"{runs} is a run itself; name the folder that holds it: {runs.resolve().parent}.")
    found, left_out, others = list[RunResult](), list[Unranked](), 0
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        try:
            run = _opened(folder, protocol)
        except (UsageError, IntegrityError) as error:
            left_out.append(Unranked(method=folder.name, reason=str(error).rstrip(".")))
            continue
        if run is None:
            continue
        if run.document.spec.benchmark != protocol.benchmark.name:
            others += 1
            continue
        reason = _refused(run, protocol)
        if reason:
            left_out.append(Unranked(method=run.document.spec.method.name, reason=reason))
        else:
            found.append(run)
    found.sort(key=lambda each: (each.document.timing.started, str(each.folder)), reverse=True)
    return found, left_out, others


def _opened(folder: Path, protocol: LoadedBenchmark) -> RunResult | None:
    """The run in a folder; None for a folder of something else. Raises UsageError for a run that is not finished."""
    if (folder / SEALED).is_file():
        return RunResult.open(folder)
    named = f"{protocol.benchmark.id}-{protocol.benchmark.version}-"
    if (folder / METHOD).is_file() and folder.name.startswith(named):
        raise UsageError(f"{folder} is not finished; the command that began it goes on from there")
    return None


def _refused(run: RunResult, protocol: LoadedBenchmark) -> str:
    """Why a run takes no part; empty where it does."""
    spec = run.document.spec
    if spec.benchmark_hash != protocol.hash:
        return f"{run.folder} was made for another state of {protocol.benchmark.name}; evaluate again"
    if spec.limit is not None:
        return f"{run.folder} is a rehearsal (made with --limit); run it again without a limit"
    return ""


def _scored(
    protocol: LoadedBenchmark, found: Sequence[RunResult], progress: Progress
) -> tuple[list[Standing], list[Unranked]]:
    """Each method by its newest run that can be scored, oldest first, and why the other runs have no row."""
    standing, unranked, newest = list[Standing](), list[Unranked](), dict[tuple[object, ...], Path]()
    leaderboard = leaderboard_of(protocol)
    for done, run in enumerate(found, start=1):
        name, identity = run.document.spec.method.name, _identity(run)
        if identity in newest:
            reason = f"{run.folder} is older than {newest[identity]}; another version or name would keep both"
            unranked.append(Unranked(method=name, reason=reason))
            continue
        try:
            each = _standing(protocol, RunResult(run.document, run.folder))  # whose answers are not kept any longer
        except (UsageError, IntegrityError) as error:
            unranked.append(Unranked(method=name, reason=str(error).rstrip(".")))
            continue
        newest[identity] = run.folder
        if each.entry.complete:
            standing.append(each)
        else:
            listed = incomplete(leaderboard, each.entry)
            reason = f"{run.folder}: {listed.reason}{_why(run)}"
            unranked.append(listed.model_copy(update={"reason": reason}))
        progress(done, len(found))
    return standing[::-1], unranked


def _why(run: RunResult, most: int = 2) -> str:
    """Why units have no scores, behind a colon; each reason once."""
    reasons = list(dict.fromkeys(f"{each.status}: {each.reason}" for each in run.document.units if each.status != "ok"))
    more = f"; and {len(reasons) - most} more reasons" if len(reasons) > most else ""
    return f" ({'; '.join(reasons[:most])}{more})" if reasons else ""


def _identity(run: RunResult) -> tuple[object, ...]:
    """What runs of one method share, of which the newest has its row."""
    method = run.document.spec.method
    return (method.name, method.version, method.origin, method.target.partition(":")[0], run.document.spec.seed)


def namesakes_of_other_code(run: RunResult) -> tuple[RunResult, ...]:
    """Sealed runs beside this one that share one row of a board of runs with it, though their method's code differs."""
    spec, found = run.document.spec, []
    head = spec.benchmark.replace("@", "-")
    for path in sorted(run.folder.parent.glob(f"{escape(head)}-{spec.method.name}-*/{SEALED}")):
        with suppress(UsageError, IntegrityError, OSError):
            other = RunResult.open(path.parent)
            theirs = other.document.spec
            if (theirs.benchmark, theirs.benchmark_hash, theirs.limit) != (spec.benchmark, spec.benchmark_hash, None):
                continue
            if _identity(other) == _identity(run) and theirs.method.source_sha256 != spec.method.source_sha256:
                found.append(other)
    return tuple(found)


def _standing(protocol: LoadedBenchmark, run: RunResult) -> Standing:
    """A run as a row, as those of submissions are; its folder is named from that of all runs."""
    document, scored = run.document, run.scored(protocol)
    method, exempt = document.spec.method, len(leaderboard_of(protocol).exempt(scored.inapplicable))
    entry = method_entry(protocol, scored.track, scored.measured, len(document.units) - exempt, exempt)
    row = Row(
        method=method.name,
        version=method.version,
        reference=method.reference,
        oracle=method.oracle,
        units=f"{entry.scored}/{entry.planned}",
        exempt=entry.exempt,
        remark=fence_remark(document.environment),
        cost=cost_of(run, scored.track, scored.units),
        submitted=datetime.fromisoformat(document.timing.started).date(),
        folder=run.folder.name,
        state=content_id([method.version, document.id, [each.outputs for each in document.units]]),
        cells={},
    )
    return Standing(replace(entry, arrays=dict(sorted(entry.arrays.items()))), lambda: row, method.citation)


def _same(official: Standing, mine: Standing) -> bool:
    """Whether a row of the official board is of the very method that was run here."""
    one, other = official.entry.method, mine.entry.method
    return (one.name, one.origin) == (other.name, other.origin)


def _without_folder(standing: Standing) -> Standing:
    """A row of a submission, whose folder does not lie among the runs."""
    return replace(standing, row=lambda: standing.row().model_copy(update={"folder": ""}))


def _told_apart(standing: Sequence[Standing], taken: frozenset[str]) -> Iterator[Standing]:
    """With names that no two rows share: of namesakes each gets its version, or the digits of its run's folder."""
    for each in standing:
        name = each.entry.method.name
        alike = [other for other in standing if other.entry.method.name == name]
        if len(alike) == 1 and name not in taken:
            yield each
            continue
        versions = [_with_version(other) for other in alike]
        unique = len(set(versions)) == len(alike) and not taken & set(versions) and name not in taken
        yield _renamed(each, _with_version(each) if unique else f"{name}-{_digits(each)}")


def _with_version(standing: Standing) -> str:
    method = standing.entry.method
    return f"{method.name}-{re.sub(r'[^a-z0-9._]+', '-', method.version.lower())}"


def _digits(standing: Standing) -> str:
    row = standing.row()
    digits = _FOLDER_DIGITS.search(row.folder)
    return digits[0] if digits else row.state[:12]


def _renamed(standing: Standing, name: str) -> Standing:
    method = standing.entry.method.model_copy(update={"name": name})
    entry = replace(standing.entry, method=method)
    return replace(standing, entry=entry, row=lambda: standing.row().model_copy(update={"method": name}))


def _nothing(protocol: LoadedBenchmark, runs: Path, left_out: Sequence[Unranked], others: int) -> UsageError:
    name = protocol.benchmark.name
    aside = f" ({others} of other benchmarks)" if others else ""
    if not left_out:
        return UsageError(f"{runs} holds no run of {name}{aside}; make one: {_command(protocol, runs)}")
    reasons = "; ".join(f"{each.method}: {each.reason}" for each in left_out)
    return UsageError(f"{runs} holds no complete run of {name}{aside}: {reasons}.")


def _command(protocol: LoadedBenchmark, runs: Path) -> str:
    target = protocol.benchmark.name if protocol.bundled else protocol.path
    return f"harness evaluate METHOD --benchmark {target} --out {runs}"

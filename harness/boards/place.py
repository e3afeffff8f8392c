"""Where a run would stand among the submissions to its benchmark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from harness.boards.build import read_standings
from harness.boards.entries import Progress, leaderboard_of, method_entry
from harness.data.catalog import benchmark_files, find_protocol
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.method import MethodSpec
from harness.tracks.leaderboard import Entry, Leaderboard

NO_BOARD = "this benchmark has no board"


@dataclass(frozen=True)
class Place:
    """One column: rank among `of` methods, its 95 % interval, and methods that cannot be told apart from it."""

    metric: str
    title: str
    column: str
    value: float
    rank: int
    rank_low: int
    rank_high: int
    of: int
    tied_with: tuple[str, ...]
    low: float
    high: float
    spread: float | None
    """How far the metrics behind a mean rank disagree."""
    scale: float
    """What numbers are multiplied with where boards show them."""
    remark: str = ""
    """What is to be known of the rank, in sentences; empty where it is that of the official board over all units."""


def place_of(run: RunResult, progress: Progress = lambda done, total: None) -> tuple[Place, ...] | str:
    """The run's place in every column among rows of all tiers, as on a board of runs, its own earlier submission left out;
    or why it has none."""
    spec = run.document.spec
    if spec.benchmark not in benchmark_files():
        return f"{NO_BOARD}, but {local_command(run)} ranks your runs under it"
    protocol = find_protocol(spec.benchmark)
    if protocol.hash != spec.benchmark_hash:
        return "the run was made for another state of the benchmark"
    if spec.limit is not None:
        return "a limited run is a rehearsal and takes no place"
    if run.failed:
        return "only runs with all units scored take a place"
    scored, leaderboard = run.scored(protocol), leaderboard_of(protocol)
    exempt = leaderboard.exempt(scored.inapplicable)
    if len(exempt) < len(scored.inapplicable):
        owed = len(scored.inapplicable) - len(exempt)
        return f"{owed} units have no scores for which the benchmark makes no exemption"
    own = method_entry(protocol, scored.track, scored.measured, len(scored.measured), len(exempt))
    standings = read_standings(protocol, progress)
    others = [each for each in standings.of_all_tiers.entries if not _same(each.method, spec.method)]
    if not others:
        return "the board is empty"
    places = _places(leaderboard, others, own)
    if isinstance(places, str):
        return places
    waiting = [each.method for each in standings.entries if each.waits and not each.method.reference]
    remark = _remark(spec.method, sum(not _same(each, spec.method) for each in waiting), len(exempt))
    return tuple(replace(each, remark=remark) for each in places)


def _remark(method: MethodSpec, waiting: int, exempt: int) -> str:
    """As `Place.remark`. waiting: rows of others that are not reproduced; exempt: units that do not apply."""
    notes = []
    if method.reference:
        notes.append(f"{method.name} is a reference: boards show it without a rank.")
    if waiting:
        rows = "1 row that waits" if waiting == 1 else f"{waiting} rows that wait"
        notes.append(f"Rows of all tiers are ranked here, among them {rows} to be reproduced.")
    if exempt:
        units = "1 unit does" if exempt == 1 else f"{exempt} units do"
        notes.append(f"{units} not apply to {method.name}: its scores are over the others.")
    return " ".join(notes)


def local_command(run: RunResult) -> str:
    """What builds the board of the runs among which this one lies."""
    try:
        named = str(run.protocol().path)
    except UsageError:  # its file was moved
        named = "BENCHMARK.toml"
    return f"harness board build {quote(_nearby(Path(named)))} --runs {quote(str(run.folder.parent))}"


def _nearby(path: Path) -> str:
    """As it is written from here, where it lies below."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def overall(places: tuple[Place, ...]) -> Place:
    """The place in the column that orders the board."""
    return places[-1]


def _places(leaderboard: Leaderboard, others: list[Entry], own: Entry) -> tuple[Place, ...] | str:
    what = {"file": "submission"}  # others are called what they are
    namesakes = {
        each.method.name: f"the {what.get(each.method.origin, each.method.origin)} {each.method.name}"
        for each in others
        if each.method.name == own.method.name
    }
    name = f"{own.method.name} (this run)" if namesakes else own.method.name
    own = replace(own, method=own.method.model_copy(update={"reference": False, "name": name}))
    shows, places = leaderboard.shows, []
    for title, column in leaderboard.compared([*others, own]).items():
        cells = column.cells()
        cell = cells.get(name)
        if cell is None or cell.rank is None or cell.rank_low is None or cell.rank_high is None:
            continue
        places.append(
            Place(
                metric=shows.metric,
                title=shows.title,
                column=title,
                value=cell.value,
                rank=cell.rank,
                rank_low=cell.rank_low,
                rank_high=cell.rank_high,
                of=sum(each.rank is not None for each in cells.values()),
                tied_with=tuple(namesakes.get(each, each) for each in column.tied(name)),
                low=cell.low,
                high=cell.high,
                spread=cell.spread,
                scale=shows.scale,
            )
        )
    if not places or places[-1].column != leaderboard.columns[-1]:
        return "it has no score in the column that orders the board"
    return tuple(places)


def _same(submitted: MethodSpec, mine: MethodSpec) -> bool:
    """Whether a submission is an earlier state of the method at hand, so that it is not compared with itself."""
    return submitted.name == mine.name and submitted.origin == mine.origin

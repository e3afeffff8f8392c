"""`board build`: a pure function of the files in a checkout, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import zip_longest
from pathlib import Path

from pydantic import ValidationError

from harness.boards.diff import append_changes
from harness.boards.entries import Progress, Scored, leaderboard_of, score_submissions
from harness.boards.published import FILE, read_published
from harness.boards.render import CHECKOUT, board_csv, board_json, board_markdown
from harness.boards.submissions import StoredSubmission, read_submissions, submission_folders, submissions_folder
from harness.boards.tiers import current_record
from harness.data.catalog import LoadedBenchmark, benchmark_files, load_protocol
from harness.metrics.facts import metric_facts
from harness.spec.board import Board, Cell, Published, Row, Table, TableRow, Unranked
from harness.spec.errors import UsageError, first_problem
from harness.storage import IntegrityError, content_id, read_json, write_text
from harness.tracks.leaderboard import Entry, Leaderboard

SIGNIFICANT_DIGITS = 6
JSON = "board.json"


def _no_progress(done: int, total: int) -> None:
    """Progress is not reported."""


@dataclass(frozen=True)
class Standing:
    """A complete method, whether a submission or a run: what it is worth, and its row without numbers, made when it is
    shown. citation: of the method."""

    entry: Entry
    row: Callable[[], Row]
    citation: str = ""


@dataclass(frozen=True)
class Standings:
    """All complete methods, and why the others are not ranked."""

    complete: tuple[Standing, ...] = ()
    unranked: tuple[Unranked, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(each.entry for each in self.complete)

    @property
    def of_all_tiers(self) -> Standings:
        """The same, with nobody waiting."""
        complete = (replace(each, entry=replace(each.entry, waits=False)) for each in self.complete)
        return replace(self, complete=tuple(complete))


def build_board(
    protocol: LoadedBenchmark,
    progress: Progress = _no_progress,
    workers: int | None = None,
    *,
    all_tiers: bool = False,
) -> Board:
    """Score and rank all submissions to a benchmark; `workers` processes score those that are not in the cache.

    all_tiers: rank also what is not reproduced, where ranks have to be earned: for the curious, never written down.
    """
    return board_of(protocol, read_standings(protocol, progress, workers), all_tiers=all_tiers)


def board_of(protocol: LoadedBenchmark, standings: Standings, *, all_tiers: bool = False) -> Board:
    """Rank methods that are scored already; `all_tiers` as in `build_board`."""
    standings = standings.of_all_tiers if all_tiers else standings
    ranked = [each for each in standings.entries if not each.waits]
    leaderboard = leaderboard_of(protocol)
    shows, columns = leaderboard.shows, leaderboard.columns
    cells = {name: column.cells() for name, column in leaderboard.compared(standings.entries).items()}
    rows = []
    for each in standings.complete:
        name, waits = each.entry.method.name, each.entry.waits and not each.entry.method.reference
        own = {column: _scaled(of[name], shows.scale) for column, of in cells.items() if name in of}
        rows.append(each.row().model_copy(update={"waits": waits, "cells": own}))
    rows.sort(key=lambda row: _order(row, columns))
    return Board(
        benchmark=protocol.benchmark.name,
        benchmark_hash=protocol.hash,
        metric=shows.metric,
        title=shows.title,
        explanation=shows.explanation,
        lower_is_better=shows.lower_is_better,
        scale=shows.scale,
        ranks_from="recomputed" if all_tiers else protocol.benchmark.ranked_tier,
        columns=columns,
        groups={column: max((cell.group or 0 for cell in cells[column].values()), default=0) for column in cells},
        rows=tuple(rows),
        unranked=standings.unranked,
        tables=tuple(_rounded_table(table) for table in leaderboard.tables(ranked)),
        published=tuple(_scaled_published(each, shows.scale) for each in read_published(protocol, columns)),
    )


def write_board(
    board: Board, protocol: LoadedBenchmark, folder: Path | None = None, checkout: str = CHECKOUT
) -> tuple[str, ...]:
    """Write `board.json`, `.csv` and `.md` into a folder, by default beside the benchmark's file. Returns their paths.

    checkout: the way from there to where the folders of rows are named from.

    What changed since the board that lies there goes into `CHANGES.md` first: if this is cut off, it is not lost, and
    the next build does not say it twice.
    """
    folder = folder or protocol.path.parent
    append_changes(folder, _written(protocol, folder), board)
    files = board_files(board, protocol, checkout)
    for name, text in files.items():
        write_text(folder / name, text)
    return tuple(str(folder / name) for name in files)


def board_files(board: Board, protocol: LoadedBenchmark, checkout: str = CHECKOUT) -> dict[str, str]:
    """What a board is written as: file name -> text; `checkout` as in `write_board`."""
    return {
        JSON: board_json(board),
        "board.csv": board_csv(board),
        "board.md": board_markdown(board, protocol.benchmark, checkout),
    }


def board_drift(board: Board, protocol: LoadedBenchmark) -> str | None:
    """Where the files beside a benchmark first differ from the board as built, in one sentence; None if nowhere."""
    for name, text in board_files(board, protocol).items():
        path = protocol.path.parent / name
        if not path.is_file():
            return f"{path} is missing; run: harness board build {protocol.benchmark.name}"
        lines = zip_longest(path.read_bytes().decode(errors="replace").split("\n"), text.split("\n"))
        for number, (committed, built) in enumerate(lines, start=1):
            if committed != built:
                return f"{path}, line {number}: there is {_quoted(committed)}, but the build gives {_quoted(built)}"
    return None


def boards_to_keep() -> tuple[LoadedBenchmark, ...]:
    """Bundled benchmarks that have a board, or something that belongs on one: a submission or published numbers."""
    return tuple(
        load_protocol(path)
        for name, path in benchmark_files().items()
        if any((path.parent / file).is_file() for file in (JSON, FILE)) or submission_folders(submissions_folder(name))
    )


def read_standings(
    protocol: LoadedBenchmark, progress: Progress = _no_progress, workers: int | None = None
) -> Standings:
    """Score every submission that this benchmark can rank, telling `progress` how many are done of how many."""
    readable, unreadable = read_submissions(protocol.benchmark.name)
    unranked = [Unranked(method=name, reason=reason) for name, reason in unreadable.items()]
    current = [each for each in readable if each.about.benchmark_hash == protocol.hash]
    unranked += [
        Unranked(method=each.about.name, reason="made for another state of the benchmark (its hash differs)")
        for each in readable
        if each.about.benchmark_hash != protocol.hash
    ]
    complete = []
    leaderboard = leaderboard_of(protocol)
    for submission, found in zip(current, score_submissions(protocol, current, progress, workers), strict=True):
        if isinstance(found, str):
            unranked.append(Unranked(method=submission.about.name, reason=found))
        elif found.entry.complete:
            about = submission.about
            row = partial(_row, submission, found)
            complete.append(Standing(found.entry, row, about.citation or about.method.citation))
        else:
            unranked.append(incomplete(leaderboard, found.entry))
    return Standings(tuple(complete), tuple(sorted(unranked, key=lambda each: each.method)))


def read_board(protocol: LoadedBenchmark, folder: Path | None = None) -> Board:
    """The board as last built, by default beside the benchmark's file. Raises UsageError if there is none, IntegrityError
    if it is damaged."""
    path = (folder or protocol.path.parent) / JSON
    if not path.is_file():
        name, ended = protocol.benchmark.name, protocol.benchmark.ended
        raise UsageError(
            f"{ended}; it has no board." if ended else f"{name} has no board yet; run: harness board build {name}"
        )
    try:
        return Board.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(f"{path} is not a board: {first_problem(error)[:-1]}; build it again.") from error


def _written(protocol: LoadedBenchmark, folder: Path) -> Board | None:
    """The board as it lies there; a damaged one tells nothing of what was before."""
    try:
        return read_board(protocol, folder)
    except (UsageError, IntegrityError):
        return None


def incomplete(leaderboard: Leaderboard, entry: Entry) -> Unranked:
    """What an incomplete method has: those columns for which all of its units are there, beside nobody."""
    units = f"{entry.scored}/{entry.planned}"
    reason = f"{entry.scored} of {entry.planned} units are there"
    cells: dict[str, Cell] = {}
    if any(column in entry.arrays for column in leaderboard.columns):
        alone = replace(entry, method=entry.method.model_copy(update={"reference": True}))
        found = {name: column.cells().get(entry.method.name) for name, column in leaderboard.compared([alone]).items()}
        cells = {name: _scaled(cell, leaderboard.shows.scale) for name, cell in found.items() if cell is not None}
    return Unranked(method=entry.method.name, reason=reason, units=units, cells=cells)


def _row(submission: StoredSubmission, scored: Scored) -> Row:
    about, entry = submission.about, scored.entry
    record = current_record(about)
    again = record if record is not None and record.same else None
    return Row(
        method=about.name,
        version=about.method.version,
        reference=about.method.reference,
        oracle=about.method.oracle,
        units=f"{entry.scored}/{entry.planned}",
        exempt=entry.exempt,
        tier="reproduced" if again else "recomputed",
        as_reported=() if again else scored.as_reported,
        remark="; ".join(again.counted) if again else submission.remark(),
        cost=again.cost if again else about.cost,
        submitted=about.submitted,
        folder=f"submissions/{about.benchmark}/{about.name}",
        maps="" if about.maps is None else about.maps.address,
        state=content_id([about.method.version, about.run, about.outputs]),
        cells={},
    )


def _scaled(cell: Cell, scale: float) -> Cell:
    numbers = {"value": cell.value, "low": cell.low, "high": cell.high, "spread": cell.spread}
    return cell.model_copy(
        update={name: None if number is None else _rounded(number * scale) for name, number in numbers.items()}
    )


def _scaled_published(number: Published, scale: float) -> Published:
    names = ("value", "low", "high", "std")
    scale = metric_facts()[number.metric].scale if number.metric else scale
    given = {name: getattr(number, name) for name in names}
    return number.model_copy(update={n: None if v is None else _rounded(v * scale) for n, v in given.items()})


def _rounded_table(table: Table) -> Table:
    rows = [
        TableRow(method=row.method, values=tuple(None if v is None else _rounded(v) for v in row.values))
        for row in table.rows
    ]
    return table.model_copy(update={"rows": tuple(rows)})


def _order(row: Row, columns: tuple[str, ...]) -> tuple[int, float, date, str]:
    """By rank in the last column; then who waits, longest first; then others without a rank there, by value.

    Of equals, who was there first.
    """
    last, since = row.cells.get(columns[-1]), row.submitted or date.max
    if row.waits:
        return (1, 0.0, since, row.method)
    if last is None:
        return (2, math.inf, since, row.method)
    return (2, last.value, since, row.method) if last.rank is None else (0, last.rank, since, row.method)


def _rounded(value: float) -> float:
    """Six significant digits: what remains the same when another processor adds in another order."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _quoted(line: str | None, most: int = 120) -> str:
    if line is None:
        return "no such line"
    return repr(line if len(line) <= most else line[:most] + "…")

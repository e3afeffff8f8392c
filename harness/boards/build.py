"""`board build`: a pure function of the files in a checkout, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import runtime_checkable

from pydantic import ValidationError

from harness.boards.entries import contest_of, submission_entry
from harness.boards.published import read_published
from harness.boards.render import board_csv, board_markdown
from harness.boards.submissions import read_submissions
from harness.data.catalog import Protocol
from harness.spec.board import Board, Cell, Published, Row, Table, TableRow, Unranked
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_json, write_json, write_text
from harness.tracks.base import Entry

SIGNIFICANT_DIGITS = 6

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Standings:
    """All complete methods, and why the others are not ranked."""

    entries: tuple[Entry, ...]
    unranked: tuple[Unranked, ...]


@runtime_checkable
class Appended(Interface):
    """A contest that shows more than its ranking."""

    def appendix(self, entries: Sequence[Entry]) -> tuple[Table, ...]:
        """Tables behind the ranking, over all rows of the board."""
        ...


def build_board(protocol: Protocol, progress: Progress = lambda done, total: None) -> Board:
    """Score and rank all submissions to a benchmark."""
    standings = read_standings(protocol, progress)
    contest = contest_of(protocol)
    heading = contest.heading
    cells = contest.cells(standings.entries)
    rows = [_row(entry, cells, heading.scale) for entry in standings.entries]
    rows.sort(key=lambda row: _order(row, contest.columns))
    tables = contest.appendix(standings.entries) if isinstance(contest, Appended) else ()
    return Board(
        benchmark=protocol.benchmark.name,
        benchmark_hash=protocol.hash,
        metric=heading.metric,
        title=heading.title,
        explanation=heading.explanation,
        lower_is_better=heading.lower_is_better,
        scale=heading.scale,
        columns=contest.columns,
        groups={column: max((cell.group or 0 for cell in cells[column].values()), default=0) for column in cells},
        rows=tuple(rows),
        unranked=standings.unranked,
        tables=tuple(_rounded_table(table) for table in tables),
        published=tuple(_scaled_published(each, heading.scale) for each in read_published(protocol, contest.columns)),
    )


def write_board(board: Board, protocol: Protocol) -> tuple[str, ...]:
    """Write `board.json`, `.csv` and `.md` beside the benchmark's file. Returns their paths."""
    folder = protocol.path.parent
    write_json(folder / "board.json", board.canonical())
    write_text(folder / "board.csv", board_csv(board))
    write_text(folder / "board.md", board_markdown(board, protocol.benchmark))
    return tuple(str(folder / f"board.{ending}") for ending in ("json", "csv", "md"))


def read_standings(protocol: Protocol, progress: Progress = lambda done, total: None) -> Standings:
    """Score every submission that this benchmark can rank, telling `progress` how many are done of how many."""
    readable, unreadable = read_submissions(protocol.benchmark.name)
    unranked = [Unranked(method=name, reason=reason) for name, reason in unreadable.items()]
    entries = []
    for done, submission in enumerate(readable):
        progress(done, len(readable))
        name = submission.about.name
        if submission.about.benchmark_hash != protocol.hash:
            unranked.append(Unranked(method=name, reason="made for another state of the benchmark (its hash differs)"))
            continue
        try:
            found = submission_entry(protocol, submission)
        except (IntegrityError, UsageError) as error:
            unranked.append(Unranked(method=name, reason=str(error)))
            continue
        if found.complete:
            entries.append(found)
        else:
            unranked.append(Unranked(method=name, reason=f"{found.scored} of {found.planned} units are there"))
    return Standings(tuple(entries), tuple(sorted(unranked, key=lambda each: each.method)))


def _row(entry: Entry, cells: Mapping[str, Mapping[str, Cell]], scale: float) -> Row:
    own = {column: table[entry.method.name] for column, table in cells.items() if entry.method.name in table}
    return Row(
        method=entry.method.name,
        version=entry.method.version,
        reference=entry.method.reference,
        units=f"{entry.scored}/{entry.planned}",
        exempt=entry.exempt,
        cells={column: _scaled(cell, scale) for column, cell in own.items()},
    )


def _scaled(cell: Cell, scale: float) -> Cell:
    numbers = {"value": cell.value, "low": cell.low, "high": cell.high, "spread": cell.spread}
    return cell.model_copy(
        update={name: None if number is None else _rounded(number * scale) for name, number in numbers.items()}
    )


def _scaled_published(number: Published, scale: float) -> Published:
    names = ("value", "low", "high", "std")
    given = {name: getattr(number, name) for name in names}
    return number.model_copy(update={n: None if v is None else _rounded(v * scale) for n, v in given.items()})


def _rounded_table(table: Table) -> Table:
    rows = [
        TableRow(method=row.method, values=tuple(None if v is None else _rounded(v) for v in row.values))
        for row in table.rows
    ]
    return table.model_copy(update={"rows": tuple(rows)})


def _order(row: Row, columns: tuple[str, ...]) -> tuple[bool, float, str]:
    """By rank in the last column; then methods that have none there, by value."""
    last = row.cells.get(columns[-1])
    if last is None:
        return (True, math.inf, row.method)
    return (last.rank is None, last.value if last.rank is None else last.rank, row.method)


def _rounded(value: float) -> float:
    """Six significant digits: what remains the same when another processor adds in another order."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def read_board(protocol: Protocol) -> Board:
    """The board as last built. Raises UsageError if there is none, IntegrityError if it is damaged."""
    path = protocol.path.parent / "board.json"
    if not path.is_file():
        raise UsageError(
            f"{protocol.benchmark.name} has no board yet; run: harness board build {protocol.benchmark.name}"
        )
    try:
        return Board.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(f"{path} is not a board: {error.errors()[0]['msg']}; build it again.") from error

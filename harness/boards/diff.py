"""What moved between two states of a board, and why; and the log that boards keep of it."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark, bundled_folder
from harness.spec.board import Board, Row
from harness.spec.errors import UsageError, first_problem
from harness.storage import IntegrityError, write_text

CHANGES = "CHANGES.md"
_SECONDS = 60
_NAMED = 3

Kind = Literal["came", "went", "moved", "changed", "listed"]
"""moved: its rank is another. changed: its numbers or its tier are, its rank is not. listed: without a rank."""


@dataclass(frozen=True)
class RowChange:
    """What happened to one method, as a clause that goes on after its name."""

    method: str
    kind: Kind
    text: str


def board_changes(old: Board, new: Board) -> tuple[RowChange, ...]:
    """Who came, went, moved or changed in the column that orders the board, by name; unchanged rows are left out."""
    before, after = ({row.method: row for row in board.rows} for board in (old, new))
    known = {each.method for each in old.unranked}
    reasons = {each.method: each.reason for each in new.unranked}
    changes = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            again = " (it was listed without a rank)" if name in known else ""
            changes.append(RowChange(name, "came", f"came{_place(new, after[name])}{again}"))
        elif name not in after:
            why = f"takes no rank any more: {reasons[name]}" if name in reasons else "was removed"
            changes.append(RowChange(name, "went", why + _was(old, before[name])))
        else:
            changes += _moved(old, new, before[name], after[name])
    fresh = reasons.keys() - known - before.keys()
    changes += [RowChange(name, "listed", f"is listed without a rank: {reasons[name]}") for name in sorted(fresh)]
    return tuple(changes)


def board_at(revision: str, protocol: LoadedBenchmark) -> Board | None:
    """The board as a revision of the checkout holds it, None if it has none.

    Raises UsageError for a revision that is not there and for a folder that is no checkout, IntegrityError for a board
    that cannot be read.
    """
    folder = protocol.path.parent.resolve()
    checkout = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    known = _run_git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if known.returncode != 0:
        raise UsageError(f"{checkout} holds no revision {revision!r}; name a commit, branch or tag (git log).")
    commit, path = known.stdout.strip(), (folder / "board.json").relative_to(checkout.resolve()).as_posix()
    if not _git(checkout, "ls-tree", commit, "--", path).strip():
        return None
    try:
        return Board.model_validate_json(_git(checkout, "show", f"{commit}:{path}"))
    except ValidationError as error:
        raise IntegrityError(f"{path} of revision {revision} is not a board: {first_problem(error)}") from error


def append_changes(folder: Path, old: Board | None, new: Board) -> bool:
    """Say in a board's `CHANGES.md` what its rows went through since `old`; True if there was something to say.

    The section is dated by the newest submission that it is about, never by the clock, and one that stands there
    already is not added again: a second build adds nothing.
    """
    section = changes_section(old, new)
    path = folder / CHANGES
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# Changes of {new.benchmark.partition('@')[0]}\n"
    if not section or section in text:
        return False
    write_text(path, f"{text.rstrip()}\n\n{section}")
    return True


def changes_section(old: Board | None, new: Board) -> str:
    """The section of `CHANGES.md` on the way from `old` to `new`; empty if no row changed."""
    if old is None:
        ranked = sum(not row.reference for row in new.rows)
        lines = [f"First board: {_count(ranked, 'method')}, {_count(len(new.rows) - ranked, 'reference row')}."]
        about: Collection[str] = {row.method for row in new.rows}
    else:
        changes = board_changes(old, new)
        lines = [f"- {change.method} {change.text}" for change in changes]
        about = {change.method for change in changes}
    if not lines or not (old or new.rows):
        return ""
    rows = [*new.rows, *(old.rows if old else ())]
    dates = [row.submitted for row in rows if row.submitted is not None and row.method in about]
    heading = f"## Board of {max(dates).isoformat()}" if dates else "## Board"
    return "\n".join([heading, *lines]) + "\n"


def _run_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """git in a folder, whatever it answers. Raises UsageError if it cannot be run."""
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run in {folder} ({error}); install it.") from error


def _git(folder: Path, *arguments: str) -> str:
    done = _run_git(folder, *arguments)
    if done.returncode != 0:
        where = bundled_folder("leaderboards").parent
        raise UsageError(f"{folder} is in no git checkout, so it has no earlier boards; work in a clone of {where}.")
    return done.stdout


def _moved(old: Board, new: Board, before: Row, after: Row) -> list[RowChange]:
    """At most one change of a row that stands on both boards."""
    was, now = _rank(old, before), _rank(new, after)
    rescored = {column: cell.value for column, cell in before.cells.items()} != {
        column: cell.value for column, cell in after.cells.items()
    }
    resubmitted = bool(before.state and after.state) and before.state != after.state
    promoted = f"is now {after.tier}, was {before.tier}" if after.tier != before.tier else ""
    if after.waits and not before.waits:
        promoted = "it waits to be reproduced"
    if was == now and not rescored and not resubmitted:
        return [RowChange(after.method, "changed", promoted)] if promoted else []
    causes = [_cause(old, new, before, after)] if rescored or resubmitted else []
    if not causes and was is not None and now is not None:
        causes = _rivals(old, new, after.method)
    if promoted:
        causes.append(promoted)
    why = "; ".join(filter(None, causes))
    if was != now:
        return [RowChange(after.method, "moved", f"moved from rank {was or 'none'} to {now or 'none'}: {why}")]
    return [RowChange(after.method, "changed", f"kept its place with other numbers: {why}" if rescored else why)]


def _cause(old: Board, new: Board, before: Row, after: Row) -> str:
    if before.state != after.state and before.state and after.state:
        versions = f" (version {before.version}, now {after.version})" if before.version != after.version else ""
        return f"its submission changed{versions}"
    if old.benchmark_hash != new.benchmark_hash:
        return "the benchmark changed"
    return "its numbers changed, its submission did not (other rows that set the scale, or the harness's code)"


def _rivals(old: Board, new: Board, name: str) -> list[str]:
    """Why a rank changes whose own numbers did not: who came or moved above it, who is no longer there."""
    above, were_above = _above(new, name), _above(old, name)
    texts = {"now above it": above - were_above, "no longer above it": were_above - above}
    return [f"{_some(names)} {text}" for text, names in texts.items() if names]


def _above(board: Board, name: str) -> set[str]:
    ranks: Mapping[str, int] = {row.method: rank for row in board.rows if (rank := _rank(board, row)) is not None}
    return {other for other, rank in ranks.items() if rank < ranks[name]} if name in ranks else set()


def _rank(board: Board, row: Row) -> int | None:
    cell = row.cells.get(board.columns[-1])
    return None if cell is None else cell.rank


def _place(board: Board, row: Row) -> str:
    rank = _rank(board, row)
    if row.waits:
        return " without a rank: it waits to be reproduced"
    return " as a reference row" if row.reference else f": rank {rank}" if rank is not None else " without a rank"


def _was(board: Board, row: Row) -> str:
    rank = _rank(board, row)
    return "" if rank is None else f" (it had rank {rank})"


def _some(names: Collection[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")

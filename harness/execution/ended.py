"""How units ended, on disk, until the one process that writes the journal has taken it up: `jobs/ended`.

A file's name says what is in it (the unit, and the hash of the answers or of the end), so two workers that ran the same
unit write different files, or the same bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from harness.execution.answers import outputs_path
from harness.execution.job import UnitEnd, jobs_folder
from harness.storage import IntegrityError, StorageError, content_id, make_folder, move, read_json, write_json

ENDED = "ended"
_SUFFIX = ".json"
_LOOK_AGAIN = 0.2


def ended_folder(run: Path) -> Path:
    return jobs_folder(run) / ENDED


def answers_path(run: Path, unit: str, outputs: str) -> Path:
    """Where a worker leaves the answers of a unit, by their content hash."""
    return ended_folder(run) / f"{unit}.{outputs}.npz"


def leave(run: Path, end: UnitEnd) -> str:
    """Write an end, after its answers; returns the name of its file."""
    plain = end.canonical()
    path = make_folder(ended_folder(run)) / f"{end.result.unit}.{content_id(plain)}{_SUFFIX}"
    write_json(path, plain)
    return path.name


def ends(run: Path, unit: str = "*") -> Iterator[Path]:
    """The files of ends that nobody has taken up yet, of one unit or of all, in the order of their names."""
    yield from sorted(ended_folder(run).glob(f"{unit}.*{_SUFFIX}"))


def ends_by_unit(run: Path) -> dict[str, list[Path]]:
    """The same of every unit that has any, by one look at the folder: it may hold those of many thousands."""
    found: dict[str, list[Path]] = {}
    for path in ends(run):
        found.setdefault(path.name.partition(".")[0], []).append(path)
    return found


def take_up(run: Path, name: str, patience: float = 0.0) -> UnitEnd:
    """Read an end and put its answers into their place among the outputs of the run. The caller holds the run's lock.

    On a network's file system what another machine wrote may come into sight later: this waits for so many seconds.
    Raises StorageError where it does not come, IntegrityError for a file that is not an end.
    """
    path, deadline = ended_folder(run) / name, time.monotonic() + patience
    while True:
        try:
            end = read_end(path)
            if end.result.outputs is None or _placed(run, end, end.result.outputs):
                return end
        except FileNotFoundError:
            pass
        if time.monotonic() >= deadline:
            raise StorageError(
                f"{path}, or the answers beside it, did not come into sight within {patience:g} s; the run's folder must "
                "lie where all machines see it: choose another with --out."
            )
        with contextlib.suppress(OSError):
            list(path.parent.iterdir())  # has a network's file system ask its server anew
        time.sleep(_LOOK_AGAIN)


def readable(found: Iterable[Path]) -> Path | None:
    """The first end of a unit; files before it that are none, damaged ones, are removed, so that the unit runs again."""
    for path in found:
        try:
            read_end(path)
        except IntegrityError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        else:
            return path
    return None


def standing(found: Iterable[Path]) -> Path | None:
    """Of the ends of a unit one that stands; bad ones before it are removed, so that the unit is tried once more."""
    for path in found:
        with contextlib.suppress(IntegrityError, OSError):
            if read_end(path).result.status in ("ok", "not-applicable"):
                return path
        path.unlink(missing_ok=True)
    return None


def clear_away(run: Path, unit: str) -> None:
    """Remove what workers left of a unit whose end is journaled."""
    for path in ended_folder(run).glob(f"{unit}.*"):
        path.unlink(missing_ok=True)


def read_end(path: Path) -> UnitEnd:
    """Raises IntegrityError for a file that is not an end."""
    try:
        return UnitEnd.of(read_json(path))
    except (KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"{path} does not say how a unit ended; remove it, and the unit runs again.") from error


def _placed(run: Path, end: UnitEnd, outputs: str) -> bool:
    """Whether the answers are in their place; what was moved before a kill is there already."""
    there, left = outputs_path(run, end.result.unit), answers_path(run, end.result.unit, outputs)
    if left.is_file():
        move(left, there)
        return True
    return there.is_file() and _holds(there, outputs)


def _holds(path: Path, outputs: str) -> bool:
    from harness.execution.answers import outputs_id
    from harness.storage import read_arrays

    with contextlib.suppress(IntegrityError, OSError):
        return outputs_id(read_arrays(path)) == outputs
    return False

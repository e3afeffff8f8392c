"""Rules about `sources/`, the folder beside submissions that holds the sources which several of them may share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from harness.boards.gate.candidate import Candidate
from harness.boards.gate.form import VERBS, unfit_files
from harness.boards.sources import shared_sources
from harness.boards.submissions import LARGEST, SOURCES, SUBMISSIONS
from harness.execution.run_files import METHOD
from harness.storage import file_id


def allowed_files(candidate: Candidate) -> Iterator[str]:
    """Plain, short files whose names are hashes."""
    folder = candidate.folder
    if folder.is_symlink() or not folder.is_dir():
        yield f"{SOURCES} is not a folder."
        return
    yield from unfit_files(folder, SOURCES, ("<sha256>.py",), r"[0-9a-f]{64}\.py")
    for path in sorted(folder.iterdir()):
        if (size := path.lstat().st_size) > LARGEST[METHOD]:
            yield f"{path.name} has {size / 1e3:,.0f} kB, more than the {LARGEST[METHOD] / 1e3:,.0f} kB allowed."


def named(candidate: Candidate) -> Iterator[str]:
    """Each holds what its name says, and is the source of a submission."""
    used = shared_sources(candidate.folder.resolve().parent)
    for path in sorted(candidate.folder.iterdir()):
        if file_id(path) != path.stem:
            yield f"{path.name} is not the file that its name says: its sha256 differs."
        elif path.stem not in used:
            yield f"{path.name} is the source of no submission; remove it."


def unchanged(candidate: Candidate) -> Iterator[str]:
    """Sources are shared by the harness's own methods; every other submission brings its `method.py`."""
    own = (SUBMISSIONS, *candidate.folder.resolve().parts[-2:])
    for change in candidate.changes:
        if PurePosixPath(change.path).parts[:3] == own:
            verb = VERBS.get(change.status, "changes")
            yield f"the change {verb} {change.path}, which is for maintainers; store the source as method.py."

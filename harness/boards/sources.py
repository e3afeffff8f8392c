"""Where the source of a submitted method lies: its own `method.py`, or one file that many submissions share.

`submissions/<benchmark>@<version>/sources/<sha256>.py` holds the sources of the harness's own methods, each once, named
by its hash. A submission without a `method.py` has the one that `method.source_sha256` in its `submission.toml` names.
"""

from __future__ import annotations

from pathlib import Path

from harness.boards.submissions import SOURCES, SUBMISSIONS, read_about, submission_folders
from harness.data.catalog import bundled_folder
from harness.execution.run_files import METHOD
from harness.spec.errors import UsageError
from harness.spec.submission import Submission
from harness.storage import IntegrityError, file_id, write_bytes


def shared_source(folder: Path, sha256: str) -> Path:
    """Where a source lies that the submission in a folder may share with others."""
    return folder.resolve().parent / SOURCES / f"{sha256}.py"


def find_source(folder: Path, about: Submission) -> Path:
    """The file that a submission was made with. Raises IntegrityError if it is missing or was changed."""
    own = folder / METHOD
    path = own if own.exists() else shared_source(folder, about.method.source_sha256)
    if not path.is_file() or file_id(path) != about.method.source_sha256:
        raise IntegrityError(f"{path} is not the file that the submission was made with.")
    return path


def source_page(folder: str) -> str:
    """What a board links to as the code of a row: relative to the checkout, as the row's folder is."""
    here = bundled_folder(SUBMISSIONS).parent / folder
    own = f"{folder}/{METHOD}"
    if (here / METHOD).exists() or not (here.parent / SOURCES).is_dir():
        return own
    try:
        shared = shared_source(here, read_about(here).method.source_sha256)
    except (UsageError, IntegrityError):  # no submission of this checkout
        return own
    return f"{folder.rpartition('/')[0]}/{SOURCES}/{shared.name}" if shared.is_file() else own


def share_source(folder: Path) -> None:
    """Move the `method.py` of a submission to the shared sources, and remove those that no submission has any more."""
    shared = shared_source(folder, read_about(folder).method.source_sha256)
    shared.parent.mkdir(exist_ok=True)
    write_bytes(shared, (folder / METHOD).read_bytes())
    (folder / METHOD).unlink()
    used = shared_sources(shared.parent.parent)
    for path in shared.parent.glob("*.py"):
        if path.stem not in used:
            path.unlink()


def shared_sources(benchmark: Path) -> set[str]:
    """Hashes of the sources that readable submissions in `submissions/<benchmark>@<version>` share."""
    folders = [folder for folder in submission_folders(benchmark) if not (folder / METHOD).exists()]
    found = set()
    for folder in folders:
        try:
            found.add(read_about(folder).method.source_sha256)
        except (UsageError, IntegrityError):  # the gate says so where it is asked about that folder
            continue
    return found

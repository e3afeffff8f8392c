"""Rules about files: which there may be, what they say of themselves, and what a change may touch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.boards.gate.candidate import Candidate
from harness.boards.maps import FILE as MAPS
from harness.boards.sources import shared_source
from harness.boards.submissions import ABOUT, LARGEST, OUTPUTS, README, SOURCES, SUBMISSIONS, submissions_folder
from harness.boards.text import hidden_characters, skeleton, texts_in
from harness.execution.run_files import METHOD, SEALED
from harness.methods.declaration import declared_methods
from harness.methods.discovery import baseline_names, find_method
from harness.spec.submission import Submission
from harness.storage import bytes_id

REQUIRED = (ABOUT, SEALED, OUTPUTS)
ALLOWED = (ABOUT, METHOD, SEALED, OUTPUTS, MAPS, README)
REPRODUCTION = "reproduction.json"
"""What some bring to vouch for themselves."""

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*")
VERBS = {"A": "adds", "D": "removes"}


def allowed_files(candidate: Candidate) -> Iterator[str]:
    """Plain files of known names, so that nothing else of a stranger's is ever opened."""
    folder = candidate.folder
    if not folder.exists() and not folder.is_symlink():
        yield f"{folder.name} was removed; to withdraw a submission, ask a maintainer in an issue."
        return
    if folder.is_symlink() or not folder.is_dir():
        yield f"{folder.name} is not a folder; a submission is a folder of files."
        return
    if os.path.lexists(folder / REPRODUCTION):
        yield f"{REPRODUCTION} is for maintainers to add, beside the board; remove it."
    yield from unfit_files(folder, "a submission", ALLOWED, re.escape(REPRODUCTION))
    for name in REQUIRED:
        if not os.path.lexists(folder / name):
            yield f"{name} is missing; make the folder with: harness submit"


def unfit_files(folder: Path, place: str, allowed: Sequence[str], pattern: str = "") -> Iterator[str]:
    """What is no plain file, or has none of the allowed names and does not match the pattern. Nothing is opened."""
    found = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in os.scandir(folder)}
    for name, mode in sorted(found.items()):
        if stat.S_ISLNK(mode):
            yield f"{name} is a symbolic link; store the file itself."
        elif stat.S_ISDIR(mode):
            yield f"{name} is a folder; {place} has none."
        elif not stat.S_ISREG(mode):
            yield f"{name} is not a regular file."
        elif name not in allowed and not re.fullmatch(pattern, name):
            yield f"{name} has no place in {place}, which may hold: {', '.join(allowed)}."
        elif mode & 0o111:
            yield f"{name} is executable; take that right away (chmod -x)."


def sizes(candidate: Candidate) -> Iterator[str]:
    """Bounded before anything is read."""
    found = {name: path.stat().st_size for name in ALLOWED if (path := candidate.folder / name).exists()}
    for name, size in found.items():
        if size > LARGEST[name]:
            yield f"{name} has {size / 1e3:,.0f} kB, more than the {LARGEST[name] / 1e3:,.0f} kB allowed."


def own_changes(candidate: Candidate) -> Iterator[str]:
    """A submission adds one folder; boards, records, other rows, protocols and code are for maintainers to change."""
    for change in candidate.changes:
        if not _is_own(candidate.folder, change.path):
            verb = VERBS.get(change.status, "changes")
            yield f"the same change {verb} {change.path}; a submission touches its own folder and nothing else."


def replaced(candidate: Candidate) -> Iterator[str]:
    """A new version takes the place of the old one; whose it was, a human has to see."""
    for change in candidate.changes:
        if _is_own(candidate.folder, change.path) and change.status != "A" and candidate.folder.is_dir():
            yield f"{PurePosixPath(change.path).name} replaces an earlier state; see that its authors want this."


def schema(candidate: Candidate) -> Iterator[str]:
    """`submission.toml` says what its schema asks for and nothing else; README.md is text."""
    about = candidate.about
    if (candidate.folder / MAPS).exists() != (about.maps is not None and about.maps.inline):
        there = "is there" if (candidate.folder / MAPS).exists() else "is missing"
        yield f"{MAPS} {there}, but {ABOUT} says otherwise; make the folder with: harness submit"
    readme = candidate.folder / README
    if readme.exists() and not _is_text(readme.read_bytes()):
        yield f"{README} is not UTF-8 text."


def plain_text(candidate: Candidate) -> Iterator[str]:
    """Nothing that a reader does not see or that another program takes for more than text, wherever it is shown later."""
    about = candidate.about
    for place, text in texts_in(about.model_dump(mode="json")):
        if found := ", ".join(hidden_characters(text)):
            yield f"{place} in {ABOUT} holds characters that a reader cannot see ({found}); write plain text."
    if not _VERSION.fullmatch(about.method.version):
        yield f"version {about.method.version!r} must consist of letters, digits and . _ + -, such as 1.0."
    for name in (METHOD, README):
        path = candidate.folder / name
        if path.exists() and (
            found := ", ".join(hidden_characters(path.read_bytes().decode(errors="replace"), "\t\n\r\f"))
        ):
            yield f"{name} holds characters that a reader cannot see ({found}); write them as escapes, or take them out."


def name_of_its_own(candidate: Candidate) -> Iterator[str]:
    """No quick eye takes it for another method of the board, or for one of the harness's own."""
    own = candidate.about.name
    known = sorted({*baseline_names(), *(other.about.name for other in candidate.others)} - {own})
    if alike := [name for name in known if skeleton(name) == skeleton(own)]:
        yield f"its name, {own}, looks like {', '.join(alike)}; choose another and evaluate again."


def path_is_content(candidate: Candidate) -> Iterator[str]:
    """A folder is found by what it holds: `<benchmark>@<version>/<method>`."""
    about, folder = candidate.about, candidate.folder.resolve()
    if folder.name != about.name:
        yield f"{ABOUT} is about {about.name}, but the folder is called {folder.name}."
    if folder.parent.name != about.benchmark:
        yield f"{ABOUT} is for {about.benchmark}, but the folder lies in {folder.parent.name}."


def disclosure(candidate: Candidate) -> Iterator[str]:
    """What a reader of the board must know, and what a reviewer of it cannot find out."""
    about = candidate.about
    told = {
        "authors": (any(each.strip() for each in about.authors), "name who made it"),
        "licence": (_SPDX.fullmatch(about.licence), "give the SPDX identifier of method.py's licence, e.g. Apache-2.0"),
        "citation": (about.citation.strip(), "say what to cite, or why there is nothing"),
        "training_data": (
            about.training_data.strip(),
            "say what data it was made with, or none beyond the benchmark's",
        ),
        "hardware": (about.hardware.strip(), "say what it ran on"),
        "cost": (about.cost, "give the seconds it took"),
    }
    yield from (f"{ABOUT} lacks {name}: {advice}." for name, (given, advice) in told.items() if not given)


def method_source(candidate: Candidate) -> Iterator[str]:
    """There is one source, it is the hashed file, and its syntax tree declares what the submission says."""
    spec = candidate.about.method
    own, shared = candidate.folder / METHOD, shared_source(candidate.folder, spec.source_sha256)
    path, name = (own, METHOD) if own.exists() else (shared, f"{SOURCES}/{shared.name}")
    if own.exists() and os.path.lexists(shared):
        yield f"its source is there twice, as {METHOD} and as {SOURCES}/{shared.name}; remove {METHOD}."
        return
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST[METHOD]:
        yield f"{METHOD} is missing, and {name} is not there in its place; make the folder with: harness submit"
        return
    source = path.read_bytes()
    if bytes_id(source) != spec.source_sha256:
        yield f"{name} is not the file that {ABOUT} names: its sha256 differs."
        return
    declared = [each for each in declared_methods(source, Path(name), spec.origin) if each.symbol == spec.symbol]
    if len(declared) != 1:
        yield f"{name} declares {len(declared) or 'no'} methods called {spec.symbol}; it must declare one."
        return
    claimed, found = (each.model_dump(mode="json", exclude={"target"}) for each in (spec, declared[0]))
    for field in claimed | found:
        if claimed.get(field) != found.get(field):
            yield f"{ABOUT} gives {field} {claimed.get(field)!r}, but {name} declares {found.get(field)!r}."
    if spec.origin == "baseline" and not _is_baseline(candidate.about, source):
        yield f"it calls itself a baseline, but {name} is not that of a baseline that comes with the harness."


def _is_baseline(about: Submission, source: bytes) -> bool:
    """Whether it is a method of this harness, as it is now or as this harness's own submissions keep it."""
    if about.method.name not in baseline_names():
        return False
    kept = submissions_folder(about.benchmark) / SOURCES / f"{about.method.source_sha256}.py"
    return find_method(about.method.name).source == source or kept.is_file()


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _is_own(folder: Path, changed: str) -> bool:
    return PurePosixPath(changed).parts[:3] == (SUBMISSIONS, *folder.resolve().parts[-2:])

"""Files below a data set's folder: found in one order, named by templates, never outside of the folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.spec.errors import UsageError
from harness.storage import IntegrityError

_FIELD = re.compile(r"\{([^{}:]+)(?::(0\d|\.\d+))?\}")


def present(folder: Path, relative: str) -> Path:
    """The path of a file that must be there. Raises UsageError."""
    path = folder / relative
    if not path.is_file():
        raise UsageError(
            f"the file {relative} is missing in {folder}; fetch the data set again, or complete the folder."
        )
    return path


def walk(folder: Path, root: str | None = None) -> Iterator[str]:
    """Relative paths of all files, folder by folder in the order of names: the same on every file system.

    Files of other programs, which begin with a dot, are left out. Raises UsageError for a folder that is missing.
    """
    start = folder / root if root else folder
    if not start.is_dir():
        raise UsageError(f"the folder {start} is missing; fetch the data set again, or complete it.")
    yield from _walk(start, f"{root}/" if root else "")


def matches(pattern: str, folder: Path, root: str | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and named groups of every file whose whole path the pattern fits, in the order of `walk`."""
    compiled = re.compile(pattern)
    for path in walk(folder, root):
        if (match := compiled.fullmatch(path)) is not None:
            yield path, {name: value or "" for name, value in match.groupdict().items()}


def filled(template: str, columns: Mapping[str, str], where: str) -> str:
    """The template with the columns it names. Raises UsageError for an unknown column, IntegrityError for a path that
    leads out of the data set's folder."""

    def value(field: re.Match[str]) -> str:
        name, form = field.groups()
        if name not in columns:
            raise UsageError(f"{where} has no column {name!r}, which {template!r} needs; it has {', '.join(columns)}.")
        text = columns[name]
        if form is None:
            return text
        return text.zfill(int(form[1:])) if form[0] == "0" else text[: int(form[1:])]

    path = _FIELD.sub(value, template)
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        raise IntegrityError(f"{where} names {path!r}, which leads out of the data set's folder.")
    return path


def class_numbers(found: list[str], classes: tuple[str, ...], where: str) -> dict[str, int]:
    """Label of each class: as the manifest orders them, or sorted. Raises IntegrityError for one it does not name."""
    names = classes or tuple(sorted(set(found)))
    if stray := sorted(set(found) - set(names)):
        raise IntegrityError(f"{where} holds the class {stray[0]!r}, which the manifest does not name.")
    return {name: number for number, name in enumerate(names)}


def spelled(folder: Path) -> Mapping[str, str]:
    """Lower-case path -> path as it is written, of all files: releases disagree on upper and lower case."""
    return {path.lower(): path for path in walk(folder)}


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in listed:
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name

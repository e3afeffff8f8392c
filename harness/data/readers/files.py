"""Files below a data set's folder: found in one order, named by templates, never outside of the folder."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np

_FIELD = re.compile(r"\{([^{}:]+)(?::(0\d|\.\d+|/\d))?\}")


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
    yield from _walk(start, f"{root}/" if root else "", ())


def matches(pattern: str, folder: Path, root: str | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and named groups of every file whose whole path the pattern fits, in the order of `walk`."""
    compiled = re.compile(pattern)
    for path in walk(folder, root):
        if (match := compiled.fullmatch(path)) is not None:
            yield path, {name: value or "" for name, value in match.groupdict().items()}


def labelled(pattern: str, folder: Path, root: str | None = None) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Paths of the files that a pattern fits, the name of the class of each, and all named groups as columns (`label` is
    called `class`). Raises UsageError where there is none."""
    import numpy as np

    found = list(matches(pattern, folder, root))
    if not found:
        raise UsageError(f"{folder} has no file that fits {pattern!r}; check how the files were unpacked.")
    columns = {"class" if name == "label" else name: np.array([g[name] for _, g in found]) for name in found[0][1]}
    return [path for path, _ in found], [groups["label"] for _, groups in found], columns


def filled(template: str, columns: Mapping[str, str], where: str) -> str:
    """A path: `replaced`. Raises IntegrityError for one that leads out of the data set's folder."""
    path = replaced(template, columns, where)
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        raise IntegrityError(f"{where} names {path!r}, which leads out of the data set's folder.")
    return path


def replaced(template: str, columns: Mapping[str, str], where: str) -> str:
    """The template with the columns it names. Raises UsageError for an unknown column."""

    def value(field: re.Match[str]) -> str:
        name, form = field.groups()
        if name not in columns:
            raise UsageError(f"{where} has no column {name!r}, which {template!r} needs; it has {', '.join(columns)}.")
        text = columns[name]
        if form is None:
            return text
        if form[0] == "/":
            return "".join(text.split("/")[int(form[1:]) : int(form[1:]) + 1])
        return text.zfill(int(form[1:])) if form[0] == "0" else text[: int(form[1:])]

    return _FIELD.sub(value, template)


def class_numbers(found: list[str], classes: tuple[str, ...], where: str) -> dict[str, int]:
    """Label of each class: as the manifest orders them, or sorted. Raises IntegrityError for one it does not name."""
    names = classes or tuple(sorted(set(found)))
    if stray := sorted(set(found) - set(names)):
        raise IntegrityError(f"{where} holds the class {stray[0]!r}, which the manifest does not name.")
    return {name: number for number, name in enumerate(names)}


def spelled(folder: Path) -> Mapping[str, str]:
    """Lower-case path -> path as it is written, of all files: releases disagree on upper and lower case."""
    return {path.lower(): path for path in walk(folder)}


def library(name: str) -> Any:
    """A package that only some readers need. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"these files are read with the package {name}: pip install {name}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text that are not blank, stripped. Raises IntegrityError for what is no text."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path} is no text: {error}.") from error


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    here = folder.stat()
    chain = (*above, (here.st_dev, here.st_ino))
    if chain[-1] in above:
        return  # a link that leads back up
    for entry in listed:
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", chain)
        elif entry.is_file():
            yield prefix + entry.name

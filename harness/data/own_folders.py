"""Looking at a user's folder before it is taken: what the reader of the data set would find in it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from harness.data.readers.files import walk
from harness.spec.manifest import DataSet, SourceFile
from harness.spec.readers import ImageTablesReader, ImageTreeReader, ShapesReader, VolumesReader


class Look(NamedTuple):
    """How many files of a folder are read, and what was looked for."""

    found: int
    wanted: str


def look_at(spec: DataSet, file: SourceFile, folder: Path) -> Look | None:
    """What of a folder, that is to be `file`, the data set's reader would read; None where nothing says what it reads."""
    reader = spec.reader
    if isinstance(reader, ImageTablesReader):
        return _tables(reader, file, folder)
    if isinstance(reader, ImageTreeReader | ShapesReader | VolumesReader) and _leads_into(reader.pattern, file):
        pattern = re.compile(reader.pattern)
        fits = sum(pattern.fullmatch(f"{file.path}/{name}") is not None for name in walk(folder))
        return Look(fits, f"file that fits '{reader.pattern}'")
    if isinstance(reader, VolumesReader):
        templates = [path for each in reader.channels.values() for path in (each.path, each.minus) if path]
        endings = tuple({path.rpartition("}")[2] for path in templates if path.startswith(f"{file.path}/")})
        return Look(sum(name.endswith(endings) for name in walk(folder)), f"image *{' or *'.join(endings)}")
    if file.like is not None:
        return Look(sum(fnmatchcase(name.rpartition("/")[2], file.like) for name in walk(folder)), f"file {file.like}")
    return None


def count_sentence(spec: DataSet, file: SourceFile, folder: Path) -> str | None:
    """A sentence where a folder holds more or fewer files than the data set's release."""
    look = look_at(spec, file, folder) if file.holds is not None else None
    if look is None or look.found == file.holds:
        return None
    return (
        f"{spec.id}: of the files in {folder} {look.found} are read, {file.holds} are expected; what is drawn from them "
        "with a seed are other samples than from the whole release"
    )


def _leads_into(pattern: str, file: SourceFile) -> bool:
    """Whether a pattern begins with the name of the folder."""
    return pattern.replace("\\", "").startswith(f"{file.path}/")


def _tables(reader: ImageTablesReader, file: SourceFile, folder: Path) -> Look:
    """All tables must be there, and beside them at least one other file."""
    named = {each for table in reader.tables for each in (table.file, table.join) if each}
    mine = sorted(each.removeprefix(f"{file.path}/") for each in named if each.startswith(f"{file.path}/"))
    if absent := [name for name in mine if not (folder / name).is_file()]:
        return Look(0, f"table {absent[0]}")
    return Look(sum(not name.endswith(".csv") for name in walk(folder)), "image")

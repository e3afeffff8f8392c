"""Loop files: what was queried in each loop, of volumes in nnActive's format.

`loop_000.json` holds the starting budget, `loop_001.json` the first query, each only its new patches:
`{"patches": [{"file": "case.nii.gz", "coords": [z, y, x], "size": [dz, dy, dx] or "whole"}]}`, of flat images [y, x]
and [dy, dx]. Of pools of images it holds their rows, in the order in which they were queried: `{"images": [17, 3]}`. Rows
count from 0 in the pool, which are the training images of the benchmark without those that were put aside for validation,
in ascending order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.storage import IntegrityError, read_json, write_json
from harness.tracks.query.geometry import Patch

_NAME = re.compile(r"loop_([0-9]{3,9})\.json")


def write_loop(folder: Path, loop: int, patches: Iterable[Patch], file_ending: str = ".nii.gz") -> Path:
    """Write one loop's new patches and return the path of the file; image names get `file_ending`.

    Raises StorageError if it cannot be written, ValueError for a loop below 0.
    """
    path = _path(folder, loop)
    rows = [
        {"file": image + file_ending, "coords": list(corner), "size": size if size == "whole" else list(size)}
        for image, corner, size in patches
    ]
    write_json(path, {"patches": rows})
    return path


def write_images(folder: Path, loop: int, rows: Sequence[int]) -> Path:
    """Write the rows of one loop's new images and return the path of the file. Raises as `write_loop`."""
    path = _path(folder, loop)
    write_json(path, {"images": list(rows)})
    return path


def read_images(folder: Path) -> list[list[int]]:
    """Rows of the new images of every loop of a folder. Raises IntegrityError for files that are not in this format."""
    loops = []
    for path in _paths(folder):
        content = read_json(path)
        rows = content.get("images") if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(type(row) is int and row >= 0 for row in rows):
            raise IntegrityError(f'{path} is no loop file of images: it has no list of rows, "images".')
        loops.append(rows)
    return loops


def read_loops(folder: Path, file_ending: str = ".nii.gz") -> list[list[Patch]]:
    """The new patches of every loop of a folder, from loop 0 on. Raises as `read_loop`, and for a loop left out."""
    return [read_loop(path, file_ending) for path in _paths(folder)]


def read_loop(path: Path, file_ending: str = ".nii.gz") -> list[Patch]:
    """The patches of one loop file, image names without `file_ending`.

    Whether they lie in their images and do not overlap is for `check_patches`, which knows the images. Raises
    IntegrityError for a file that is not in this format, OSError if it cannot be read.
    """
    content = read_json(path)
    rows = content.get("patches") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise IntegrityError(f'{path} is no loop file: it has no list of "patches".')
    return [_patch(row, f"{path}: patch {number}", file_ending) for number, row in enumerate(rows)]


def _path(folder: Path, loop: int) -> Path:
    if loop < 0:
        raise ValueError(f"loops count from 0, got {loop}.")
    return Path(folder) / f"loop_{loop:03d}.json"


def _paths(folder: Path) -> list[Path]:
    """Files of all loops, from loop 0 on. Raises IntegrityError where one was left out or is there twice."""
    names = [match for path in sorted(Path(folder).iterdir()) if (match := _NAME.fullmatch(path.name))]
    found: dict[int, Path] = {}
    for match in names:
        loop = int(match[1])
        if loop in found:
            raise IntegrityError(f"{folder} has loop {loop} twice, in {found[loop].name} and {match[0]}.")
        found[loop] = Path(folder) / match[0]
    paths = [found[loop] for loop in range(len(found)) if loop in found]
    if len(paths) < len(found):
        missing = next(loop for loop in range(len(found)) if loop not in found)
        raise IntegrityError(f"{folder} has loop {max(found)} but no loop {missing}.")
    return paths


def _patch(row: Any, where: str, file_ending: str) -> Patch:
    if not isinstance(row, dict) or not {"file", "coords", "size"} <= set(row):
        raise IntegrityError(f'{where} needs "file", "coords" and "size".')
    file, coords, size = row["file"], row["coords"], row["size"]
    if not isinstance(file, str) or not file.endswith(file_ending) or file == file_ending:
        raise IntegrityError(f'{where}: "file" is {file!r}, not a name that ends with {file_ending!r}.')
    if not _whole_numbers(coords, least=0):
        raise IntegrityError(f'{where}: "coords" is {coords!r}, not a list of whole numbers >= 0.')
    image = file[: len(file) - len(file_ending)]
    if size == "whole":
        return Patch(image, tuple(coords), "whole")
    if not _whole_numbers(size, least=1) or len(size) != len(coords):
        raise IntegrityError(f'{where}: "size" is {size!r}, not "whole" or {len(coords)} whole numbers >= 1.')
    return Patch(image, tuple(coords), tuple(size))


def _whole_numbers(value: Any, least: int) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(n) is int and n >= least for n in value)

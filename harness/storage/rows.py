"""Arrays in `.npz` files of any size, read from the first row to the last: compressed ones cannot be entered elsewhere."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.storage.arrays import read_header
from harness.storage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class ArrayRows:
    """One array of an `.npz` file: what its header says, and its rows one after the other."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """The entries along the first axis, each read when it is asked for. Raises `IntegrityError`."""
        import numpy as np

        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as data:
            read_header(data)
            for row in range(self.shape[0]):
                try:
                    found = data.read(size)
                except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
                    raise IntegrityError(f"{self.path}: {self.name} is damaged in row {row}.") from error
                if len(found) != size:
                    raise IntegrityError(f"{self.path}: {self.name} ends in row {row}.")
                yield np.frombuffer(found, self.dtype).reshape(self.shape[1:])


def array_rows(path: str | os.PathLike[str]) -> dict[str, ArrayRows]:
    """The arrays of an `.npz` file, which may come from a stranger, by name in the file's order, none of them loaded.

    Nothing is ever unpickled. Raises `IntegrityError` for a file that is broken or holds anything but numbers, stored row
    by row; `OSError` if it cannot be opened.
    """
    with Path(path).open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                found = [_described(Path(path), archive, member) for member in archive.infolist()]
        except IntegrityError as error:
            raise IntegrityError(f"{path} was refused: {error}.") from error
        except Exception as error:  # as in `read_arrays`: hostile bytes raise types that have no base in common
            raise IntegrityError(f"{path} is not a valid file of arrays.") from error
    if len({each.name for each in found}) != len(found):
        raise IntegrityError(f"{path} was refused: it holds two arrays of one name.")
    return {each.name: each for each in found}


def _described(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayRows:
    if not member.filename.endswith(".npy"):
        raise IntegrityError(f"its member {member.filename!r} is not an array")
    with archive.open(member) as stream:
        dtype, shape, fortran = read_header(stream)
        offset = stream.tell()
    if dtype.kind not in "biuf" or not shape or (fortran and len(shape) > 1):
        raise IntegrityError(f"its array {member.filename!r} holds no numbers that are stored row by row")
    if min(shape) < 0 or offset + math.prod(shape) * dtype.itemsize != member.file_size:
        raise IntegrityError(f"its array {member.filename!r} is not as long as its header says")
    return ArrayRows(path, member.filename.removesuffix(".npy"), shape, dtype)

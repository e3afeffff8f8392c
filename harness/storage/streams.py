"""Arrays in `.npz` files that are too large to be held: written piece by piece, read row by row."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.storage.arrays import EPOCH, check_name, read_header
from harness.storage.atomic import replacing
from harness.storage.canonical import canonical_array, check_dtype
from harness.storage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CHUNK = 1 << 20


@dataclass(frozen=True)
class ArrayStream:
    """An array to be written: its dtype and shape, and its rows (along the first axis) in pieces of any length."""

    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]


def write_array_streams(path: str | os.PathLike[str], arrays: Mapping[str, ArrayStream]) -> None:
    """Write arrays to an uncompressed `.npz`, one after the other in the order given; memory holds one piece at a time.

    Guarantees and errors as `write_bytes`. Raises `TypeError` and `ValueError` as `write_arrays`, and `ValueError` for
    pieces that do not make up the shape; the old file is then untouched.
    """
    for name in arrays:
        check_name(name)
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            _write_member(archive, name, array)


class StoredArray:
    """One array of an `.npz` file, which may come from a stranger; rows are read when they are asked for.

    Nothing is ever unpickled. Raises `IntegrityError` for a file that is broken, has no such array, or holds in its
    place anything but numbers in C order; `OSError` if it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self.name = name
        self.path, self._member = Path(path), f"{name}.npy"
        with self.path.open("rb"):
            pass
        try:
            self.dtype, self.shape, self._offset = self._header()
        except IntegrityError as error:
            raise IntegrityError(f"{path} was refused: {error}.") from error
        except Exception as error:  # as in `read_arrays`: hostile bytes raise types that have no base in common
            raise IntegrityError(f"{path} is not a valid file of arrays.") from error

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Rows in the order asked for. One pass over the array a call, so ask for many at once."""
        import numpy as np

        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        found: dict[int, np.ndarray] = {}
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as stream:
                for row in sorted(set(rows)):
                    # Not by `seek`, after which Python 3.13 no longer checks the member's checksum.
                    _skip(stream, self._offset + row * size - stream.tell())
                    data = stream.read(size)
                    found[row] = np.frombuffer(data, self.dtype).reshape(self.shape[1:])
        except Exception as error:
            raise IntegrityError(f"{self.path} is damaged: {self._member} cannot be read to its end.") from error
        return [found[row] for row in rows]

    def rows(self) -> Iterator[np.ndarray]:
        """All rows in order, one in memory at a time. Raises `IntegrityError` where the file is damaged."""
        import numpy as np

        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as stream:
            read_header(stream)
            for row in range(len(self)):
                try:
                    yield np.frombuffer(stream.read(size), self.dtype).reshape(self.shape[1:])
                except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
                    raise IntegrityError(f"{self.path} is damaged in row {row} of {self.name}.") from error

    def _header(self) -> tuple[np.dtype[Any], tuple[int, ...], int]:
        with zipfile.ZipFile(self.path) as archive:
            names = archive.namelist()
            if names.count(self._member) != 1:
                present = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
                raise IntegrityError(f"it must hold one array {self._member.removesuffix('.npy')}, it holds {present}")
            with archive.open(self._member) as stream:
                dtype, shape, fortran = read_header(stream)
                offset = stream.tell()
            size = archive.getinfo(self._member).file_size
        if fortran or dtype.kind not in "biuf" or not shape:
            raise IntegrityError(f"its array {self._member!r} is no plain array of numbers in C order")
        if min(shape) < 0 or offset + math.prod(shape) * dtype.itemsize != size:
            raise IntegrityError(f"its array {self._member!r} is not as long as its header says")
        return dtype, shape, offset


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0 and (passed := len(stream.read(min(count, _CHUNK)))):
        count -= passed


def stored_arrays(path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """All arrays of an `.npz` file of any size by name, in the file's order, none of them loaded; errors as `StoredArray`."""
    with Path(path).open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                members = archive.namelist()
        except Exception as error:  # as in `read_arrays`
            raise IntegrityError(f"{path} is not a valid file of arrays.") from error
    for member in members:
        if not member.endswith(".npy"):
            raise IntegrityError(f"{path} was refused: its member {member!r} is not an array.")
    return {name: StoredArray(path, name) for name in (member.removesuffix(".npy") for member in members)}


def _write_member(archive: zipfile.ZipFile, name: str, array: ArrayStream) -> None:
    import numpy as np

    dtype = np.dtype(array.dtype).newbyteorder("<")
    check_dtype(dtype)
    member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    member.external_attr = 0o644 << 16
    rows = 0
    with archive.open(member, "w", force_zip64=True) as stream:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(array.shape)}
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in array.pieces:
            if piece.shape[1:] != tuple(array.shape[1:]):
                raise ValueError(f"a piece of {name} has shape {piece.shape}, the array {array.shape}.")
            rows += len(piece)
            stream.write(canonical_array(piece.astype(dtype, copy=False)).tobytes())
    if rows != array.shape[0]:
        raise ValueError(f"{name} has {rows} rows, {array.shape[0]} were announced.")

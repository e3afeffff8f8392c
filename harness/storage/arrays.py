"""Named arrays in one compressed `.npz` file, written byte-stable and read without trust."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.storage.atomic import replacing
from harness.storage.canonical import canonical_array, check_dtype
from harness.storage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_ARRAY_BYTES = 1 << 31

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can tell
_ENCRYPTED = 0x1


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, npt.ArrayLike],
    *,
    compressed: bool = True,
    durable: bool = True,
) -> None:
    """Write `arrays` to `path`; guarantees and errors as `write_bytes`.

    Without `compressed` the file is larger and quicker to read: for caches.

    Equal arrays give equal bytes, whatever their order and memory layout, for one version of zlib; use
    `array_id` to compare across machines. Raises `TypeError` for a dtype `canonical_array` refuses and
    `ValueError` for a name outside letters, digits and `_.-`, before anything is written.
    """
    for name in arrays:
        check_name(name)
    plain = {name: canonical_array(arrays[name]) for name in sorted(arrays)}
    with replacing(path, durable=durable) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, array in plain.items():
            _write_member(archive, name, array, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)


def read_arrays(path: str | os.PathLike[str], *, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an `.npz` file, which may come from a stranger, by name in the file's order.

    Sizes, dtypes and shapes are checked before any data is unpacked, and nothing is ever unpickled. Raises
    `IntegrityError` for a file that is broken, holds anything but plain arrays, or is larger than `max_bytes`
    either as it is or unpacked; `OSError` if it cannot be opened.
    """
    with Path(path).open("rb") as stream:
        try:
            return _read_checked(stream, max_bytes)
        except IntegrityError as error:
            raise IntegrityError(f"{path} was refused: {error}.") from error
        except Exception as error:
            # On hostile bytes zipfile, zlib, tokenize and numpy raise a dozen types that have no base in
            # common.
            raise IntegrityError(f"{path} is not a valid file of arrays.") from error


def check_name(name: str) -> None:
    """Raise `ValueError` for the name of an array that is not safe as a file's name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"The array name {name!r} may hold letters, digits, '_', '.' and '-' only.")


def read_header(stream: Any) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """dtype, shape, and whether an array in `.npy` format is in Fortran order; the stream then stands at its data."""
    import numpy as np

    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:  # version 3 exists for the field names of structured arrays, which are not read here
        raise IntegrityError(f"its array format {version} is not supported")
    return dtype, shape, fortran


def _write_member(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any], method: int) -> None:
    import numpy as np

    member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    member.compress_type = method
    member.external_attr = 0o644 << 16
    # Always zip64: whether it is needed depends on the size, and is unknown when the header is written.
    with archive.open(member, "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)


def _read_checked(stream: BinaryIO, max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    import numpy as np

    size = os.fstat(stream.fileno()).st_size
    if size > max_bytes:
        raise IntegrityError(f"it has {size} bytes, more than the {max_bytes} allowed")
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        _check_count(stream, len(members))
        _check_directory(members, max_bytes)
        for member in members:
            _check_header(archive, member)
        arrays = {}
        for member in members:
            with archive.open(member) as data:
                arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(data, allow_pickle=False)
        return arrays


def _check_count(stream: BinaryIO, members: int) -> None:
    """Refuse a damaged directory that hides a member: zipfile ignores the count in the last 22 bytes."""
    stream.seek(-22, os.SEEK_END)
    end = stream.read()
    if not end.startswith(b"PK\5\6") or int.from_bytes(end[10:12], "little") != min(members, 0xFFFF):
        raise IntegrityError("its directory is damaged")


def _check_directory(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_bytes:
        raise IntegrityError(f"it unpacks to {unpacked} bytes, more than the {max_bytes} allowed")
    if len({member.filename for member in members}) != len(members):
        raise IntegrityError("it holds two arrays of one name")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise IntegrityError(f"its member {member.filename!r} is not an array")
        if member.flag_bits & _ENCRYPTED:
            raise IntegrityError(f"its member {member.filename!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise IntegrityError(f"its member {member.filename!r} is compressed in an unusual way")


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse a member whose data is not exactly as long as its own header promises.

    What zipfile unpacks is bounded by the size in the directory, and what numpy allocates by the header:
    the two must agree, or a file of a few bytes could ask for any amount of memory.
    """
    with archive.open(member) as stream:
        dtype, shape, _ = read_header(stream)
        offset = stream.tell()
    try:
        check_dtype(dtype)
    except TypeError as error:
        raise IntegrityError(f"its member {member.filename!r} has the unsafe dtype {dtype}") from error
    if min(shape, default=0) < 0 or offset + math.prod(shape) * dtype.itemsize != member.file_size:
        raise IntegrityError(f"its member {member.filename!r} is not as long as its header says")

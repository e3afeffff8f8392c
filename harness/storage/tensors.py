"""Named arrays in one `.safetensors` file: written at once, read without trust, no copy kept in between."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.storage.atomic import replacing
from harness.storage.canonical import canonical_array
from harness.storage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` to `path` in the precision that they have; guarantees and errors as `write_bytes`.

    Equal arrays give equal bytes, whatever their order and memory layout. Raises `TypeError` for a dtype that the
    format does not know, before anything is written.
    """
    from safetensors.numpy import save

    plain = {name: canonical_array(arrays[name]) for name in sorted(arrays)}
    for name, array in plain.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"The array {name!r} has dtype {array.dtype}; tensors hold numbers and booleans.")
    data = save(plain)
    with replacing(path) as stream:
        stream.write(data)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a `.safetensors` file, which may come from a stranger, by name.

    The format holds no code, and its header is checked against the file's length before anything is read. Raises
    `IntegrityError` for a file that is broken or is no such file, `OSError` if it cannot be opened.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    with Path(path).open("rb"):
        pass  # the library's own error for a missing file names no cause
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is not a valid file of tensors: {error}.") from error

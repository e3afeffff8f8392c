"""One text for one value, and ids that are hashes of it.

Two values have the same id exactly when their canonical forms are the same bytes, on any machine: the
order of keys, the memory layout of an array and the byte order of the processor do not matter.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CHUNK = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_PORTABLE_KINDS = "biufcSUmM"
_PLATFORM_FLOATS = "gG"


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no white space and the shortest exact floats.

    A tuple counts as a list. `1`, `1.0` and `-0.0` are three different values. Raises `TypeError` for
    anything JSON cannot hold, including keys that are not strings, and `ValueError` for a float that is
    not finite or a string that is not valid Unicode; both name the place inside `value`.
    """
    check_json(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits; raises as `canonical_json`."""
    return bytes_id(canonical_json(value).encode())


def seed_of(value: object) -> int:
    """A seed of 32 bits from `content_id`, so that order, restarts and workers change no draw."""
    return int(content_id(value)[:8], 16)


def bytes_id(data: bytes) -> str:
    """SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_id(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in constant memory; raises `OSError` if it cannot be read."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def array_id(array: npt.ArrayLike) -> str:
    """SHA-256 of an array's dtype, shape and values, as 64 hexadecimal digits.

    Values count by their bits, so `0.0` and `-0.0` differ and a NaN equals itself. Raises `TypeError` as
    `canonical_array`.
    """
    import numpy as np

    plain = canonical_array(array)
    header = canonical_json({"dtype": plain.dtype.newbyteorder("<").str, "shape": plain.shape})
    digest = hashlib.sha256(header.encode() + b"\n")
    digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def canonical_array(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """The same values in C order and little-endian, copied only where they are not so already.

    Raises `TypeError` for a dtype without one portable representation, see `check_dtype`.
    """
    import numpy as np

    plain = np.asarray(array)
    check_dtype(plain.dtype)
    return np.asarray(plain, dtype=plain.dtype.newbyteorder("<"), order="C")


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise `TypeError` unless `dtype` is a bool, integer, float, complex, text, bytes or time of fixed size.

    Object arrays would need pickle; `longdouble` differs between platforms and has undefined padding bytes;
    structured dtypes have no single layout.
    """
    if dtype.kind not in _PORTABLE_KINDS or dtype.char in _PLATFORM_FLOATS:
        raise TypeError(f"An array of dtype {dtype} has no portable representation.")


def check_json(value: object, where: tuple[str | int, ...] = ()) -> None:
    """Raise as `canonical_json` unless `value` has a canonical text; `where` it lies, for the message."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise ValueError(f"{_place(where)} holds half a surrogate pair, which is not valid Unicode.")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{_place(where)} has the key {key!r}, a {_type(key)}; JSON keys are strings.")
            if _SURROGATE.search(key):
                raise ValueError(
                    f"the key {key!r} of {_place(where)} holds half a surrogate pair, which is not valid Unicode."
                )
            check_json(item, (*where, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_json(item, (*where, index))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_place(where)} is {float(value)!r}; JSON holds finite numbers only.")
    elif value is not None and not isinstance(value, int):
        raise TypeError(f"{_place(where)} is a {_type(value)}, which JSON cannot hold.")


def _place(where: tuple[str | int, ...]) -> str:
    return "value" + "".join(f"[{each!r}]" for each in where)


def _type(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"

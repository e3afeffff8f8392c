"""Computed arrays on disk: may be deleted at any time, and are as good as absent when they are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError
from harness.storage import MAX_ARRAY_BYTES, IntegrityError, StorageError, make_folder, read_arrays, write_arrays

if TYPE_CHECKING:
    import numpy as np


def cached_arrays(
    path: Path, compute: Callable[[], Mapping[str, np.ndarray]], max_bytes: int = MAX_ARRAY_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of a file; computed and written where it is not there or damaged.

    Raises UsageError where the folder cannot be made, and as `compute` and `write_arrays` do.
    """
    if path.is_file():
        with contextlib.suppress(IntegrityError):
            return dict(read_arrays(path, max_bytes=max_bytes))
    arrays = dict(compute())
    try:
        make_folder(path.parent)
    except StorageError as error:
        why = getattr(error.__cause__, "strerror", error)
        raise UsageError(f"the cache folder {path.parent} cannot be made ({why}); set HARNESS_CACHE.") from error
    write_arrays(path, arrays, compressed=False, durable=False)
    return arrays


@lru_cache(maxsize=1)
def numeric_libraries() -> Mapping[str, str]:
    """Versions of the packages whose arithmetic, filters or data the outputs rest on."""
    from importlib import metadata

    names = ("mlxtend", "numpy", "pillow", "scikit-learn", "scipy", "torch")
    return {name: metadata.version(name) for name in names}

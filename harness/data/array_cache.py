"""Computed arrays in the cache folder: may be deleted at any time, and are as good as absent when they are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.data.catalog import cache_folder
from harness.storage import IntegrityError, StorageError, make_folder, read_arrays, write_arrays

if TYPE_CHECKING:
    import numpy as np


def read_cached(kind: str, key: str) -> dict[str, np.ndarray] | None:
    """What was kept under a key (a content id), or None."""
    path = cache_folder() / kind / key[:2] / f"{key}.npz"
    if path.is_file():
        with contextlib.suppress(IntegrityError, OSError):
            return dict(read_arrays(path))
    return None


def write_cached(kind: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays under a key. A cache that cannot be written only costs time."""
    path = cache_folder() / kind / key[:2] / f"{key}.npz"
    with contextlib.suppress(OSError, StorageError):
        make_folder(path.parent)
        write_arrays(path, arrays, compressed=False, durable=False)

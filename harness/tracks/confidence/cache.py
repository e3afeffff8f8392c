"""Computed outputs on disk: may be deleted at any time, and are as good as absent when they are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError
from harness.storage import MAX_ARRAY_BYTES, IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np


def make_cache(folder: Path) -> None:
    """Raises UsageError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the cache folder {folder} cannot be made ({error.strerror}); set HARNESS_CACHE.") from error


def read_cached(path: Path, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, np.ndarray] | None:
    """A damaged cache entry is as good as none."""
    if path.is_file():
        with contextlib.suppress(IntegrityError):
            return dict(read_arrays(path, max_bytes=max_bytes))
    return None


@lru_cache(maxsize=1)
def numeric_libraries() -> Mapping[str, str]:
    """Versions of the packages whose arithmetic, filters or data the outputs rest on."""
    from importlib import metadata

    names = ("mlxtend", "numpy", "pillow", "scikit-learn", "scipy", "torch")
    return {name: metadata.version(name) for name in names}

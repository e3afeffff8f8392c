"""Plain `.npy` arrays of images, level after level: corrupted test sets (Hendrycks and Dietterich, ICLR 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked, whole_numbers
from harness.data.readers.files import present
from harness.spec.readers import ArraysReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


def list_samples(reader: ArraysReader, folder: Path) -> Listing:
    """Samples `<file>/<level>/<position>`, file-major, then level. Columns: file, level, position."""
    import numpy as np

    arrays = [_array(present(folder, file)) for file in reader.files.values()]
    rows = len(arrays[0])
    count, rest = divmod(rows, reader.levels)
    for name, array in zip(reader.files.values(), arrays, strict=True):
        if len(array) != rows or rest or array.ndim not in (3, 4) or array.dtype != np.uint8:
            raise IntegrityError(
                f"{folder / name} is {array.dtype} {array.shape}; uint8 images (levels x n, h, w, c) of {reader.levels} "
                f"levels are needed, as many in every file."
            )
    once = whole_numbers(_array(present(folder, reader.labels)), str(folder / reader.labels))
    if len(once) not in (rows, count):
        raise IntegrityError(f"{folder / reader.labels} has {len(once)} labels for {count} or {rows} images.")
    labels = np.tile(once, len(arrays) * (rows // len(once)))
    columns = {
        "file": np.repeat(list(reader.files), rows),
        "level": np.tile(np.repeat(np.arange(1, reader.levels + 1), count), len(arrays)),
        "position": np.tile(np.arange(count), len(arrays) * reader.levels),
    }
    ids = [
        f"{name}/{level}/{n}" for name in reader.files for level in range(1, reader.levels + 1) for n in range(count)
    ]

    def read(wanted: Sequence[int]) -> list[np.ndarray]:
        return [np.array(arrays[row // rows][row % rows]) for row in wanted]

    return checked(Listing(ids, labels, columns, read), reader.classes, str(folder))


def _array(path: Path) -> np.ndarray:
    """Mapped into memory; nothing is unpickled."""
    import numpy as np

    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise IntegrityError(f"{path} is no plain array ({error}).") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise IntegrityError(f"{path} is no plain array.")
    return array

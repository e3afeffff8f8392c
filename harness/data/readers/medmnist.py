"""MedMNIST's files: one `.npz` with the images and labels of all splits (Yang et al., Scientific Data 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked, whole_numbers
from harness.data.readers.files import present
from harness.spec.readers import MedMNISTReader
from harness.storage import IntegrityError, StoredArray

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")


def list_samples(reader: MedMNISTReader, folder: Path) -> Listing:
    """Samples `<split>/<row>` of train, val and test. Raises IntegrityError for several labels a sample."""
    import numpy as np

    path = present(folder, reader.file)
    images = [StoredArray(path, f"{split}_images") for split in SPLITS]
    labels = [_labels(path, split, len(array)) for split, array in zip(SPLITS, images, strict=True)]
    counts = [len(array) for array in images]
    starts = np.cumsum([0, *counts[:-1]])

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for array, start, count in zip(images, starts.tolist(), counts, strict=True):
            mine = sorted({row for row in rows if start <= row < start + count})
            found.update(zip(mine, array.read([row - start for row in mine]), strict=True))
        return [found[row] for row in rows]

    ids = [f"{split}/{row}" for split, count in zip(SPLITS, counts, strict=True) for row in range(count)]
    columns = {"split": np.repeat(SPLITS, counts)}
    return checked(Listing(ids, np.concatenate(labels), columns, read), None, str(path))


def _labels(path: Path, split: str, count: int) -> np.ndarray:
    import numpy as np

    stored = StoredArray(path, f"{split}_labels")
    rows = stored.read(range(len(stored)))
    values = np.stack(rows) if rows else np.empty(stored.shape, stored.dtype)
    if len(values) != count:
        raise IntegrityError(f"{path} has {count} images for {split}, but {len(values)} labels.")
    return whole_numbers(values, str(path))

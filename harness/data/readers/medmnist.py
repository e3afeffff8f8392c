"""MedMNIST's files: one `.npz` with the images and labels of all splits (Yang et al., Scientific Data 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, blockwise, by_split, checked, whole_numbers
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
    try:
        images = [StoredArray(path, f"{split}_images") for split in SPLITS]
        labels = [_labels(path, split, len(array)) for split, array in zip(SPLITS, images, strict=True)]
    except IntegrityError as error:
        raise IntegrityError(f"{str(error).rstrip('.')}; this is no whole file of MedMNIST, get it again.") from error
    counts = [len(array) for array in images]
    ids, splits = by_split(dict(zip(SPLITS, counts, strict=True)))
    read = blockwise(counts, lambda block, rows: images[block].read(rows))
    return checked(Listing(ids, np.concatenate(labels), {"split": splits}, read), None, str(path))


def _labels(path: Path, split: str, count: int) -> np.ndarray:
    import numpy as np

    stored = StoredArray(path, f"{split}_labels")
    rows = stored.read(range(len(stored)))
    values = np.stack(rows) if rows else np.empty(stored.shape, stored.dtype)
    if len(values) != count:
        raise IntegrityError(f"{path} has {count} images for {split}, but {len(values)} labels.")
    return whole_numbers(values, str(path))

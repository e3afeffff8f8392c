"""CIFAR's binary release (Krizhevsky 2009): the Python release consists of pickles, which are never read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked
from harness.data.readers.files import present
from harness.spec.readers import CifarBinaryReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


def list_samples(reader: CifarBinaryReader, folder: Path) -> Listing:
    """Samples `<split>/<row>`, images (32, 32, 3) uint8. Columns: split, every label byte, and names of classes."""
    import numpy as np

    records = {
        split: [_records(present(folder, name), reader) for name in names] for split, names in reader.files.items()
    }
    tables = [table for split in records.values() for table in split]
    head = np.concatenate([table[:, : len(reader.label_bytes)] for table in tables])
    counts = {split: sum(len(table) for table in mine) for split, mine in records.items()}
    numbers = {name: head[:, place].astype(np.int64) for place, name in enumerate(reader.label_bytes)}
    names = {f"{name}-name": _named(numbers[name], present(folder, file)) for name, file in reader.names.items()}
    columns = {"split": np.repeat(list(counts), list(counts.values())), **numbers, **names}
    ends = np.cumsum([len(table) for table in tables])

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        images = []
        for row in rows:
            number = int(np.searchsorted(ends, row, side="right"))
            record = tables[number][row - int(ends[number])]  # counted from the end of the file
            planes = np.array(record[-_PIXELS:]).reshape(3, _SIDE, _SIDE)
            images.append(np.ascontiguousarray(planes.transpose(1, 2, 0)))
        return images

    ids = [f"{split}/{row}" for split, count in counts.items() for row in range(count)]
    return checked(Listing(ids, numbers[reader.label], columns, read), reader.classes, str(folder))


def _records(path: Path, reader: CifarBinaryReader) -> np.ndarray:
    """(n, label bytes + pixels) uint8, mapped into memory."""
    import numpy as np

    length = len(reader.label_bytes) + _PIXELS
    size = path.stat().st_size
    if size == 0 or size % length:
        raise IntegrityError(f"{path} has {size} bytes, which is no whole number of records of {length}.")
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, length)


def _named(numbers: np.ndarray, path: Path) -> np.ndarray:
    import numpy as np

    names = np.array([line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()])
    if len(numbers) and numbers.max() >= len(names):
        raise IntegrityError(f"{path} names {len(names)} classes, but there is a label {numbers.max()}.")
    named: np.ndarray = names[numbers]
    return named

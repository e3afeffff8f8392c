"""CIFAR's binary release (Krizhevsky 2009): the Python release consists of pickles, which are never read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, blockwise, by_split, checked
from harness.data.readers.files import present, read_lines
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
    numbers = {name: head[:, place].astype(np.int64) for place, name in enumerate(reader.label_bytes)}
    names = {f"{name}-name": _named(numbers[name], present(folder, file)) for name, file in reader.names.items()}
    ids, splits = by_split({split: sum(len(table) for table in mine) for split, mine in records.items()})
    columns = {"split": splits, **numbers, **names}
    read = blockwise([len(table) for table in tables], lambda block, rows: [_image(tables[block][row]) for row in rows])
    return checked(Listing(ids, numbers[reader.label], columns, read), reader.classes, str(folder))


def _image(record: np.ndarray) -> np.ndarray:
    import numpy as np

    planes = np.array(record[-_PIXELS:]).reshape(3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


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

    names = np.array(read_lines(path))
    if len(numbers) and numbers.max() >= len(names):
        raise IntegrityError(f"{path} names {len(names)} classes, but there is a label {numbers.max()}.")
    named: np.ndarray = names[numbers]
    return named

"""Arrays in HDF5 files, such as the clouds of ModelNet40."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.readers.base import Listing, blockwise, by_split, checked, whole_numbers
from harness.data.readers.files import library, present
from harness.spec.readers import Hdf5Reader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


def list_samples(reader: Hdf5Reader, folder: Path) -> Listing:
    """Samples `<split>/<row>`. Column: split."""
    import numpy as np

    files = [(split, present(folder, name)) for split, names in reader.files.items() for name in names]
    labels, counts = [], []
    for _, path in files:
        with _opened(path) as file:
            values = whole_numbers(np.asarray(_array(file, reader.labels, path)[()]), str(path))
            inputs = _array(file, reader.inputs, path)
            if len(values) != len(inputs) or (reader.first or 0) > (inputs.shape[1] if inputs.ndim > 1 else 0):
                raise IntegrityError(f"{path}: {inputs.shape} inputs do not fit {len(values)} labels or `first`.")
        labels.append(values)
        counts.append(len(values))
    sizes: dict[str, int] = {split: 0 for split, _ in files}
    for (split, _), count in zip(files, counts, strict=True):
        sizes[split] += count
    ids, splits = by_split(sizes)
    read = blockwise(counts, lambda block, rows: _rows(files[block][1], reader, rows))
    return checked(Listing(ids, np.concatenate(labels), {"split": splits}, read), reader.classes, str(folder))


def _rows(path: Path, reader: Hdf5Reader, rows: list[int]) -> list[np.ndarray]:
    import numpy as np

    with _opened(path) as file:
        inputs = _array(file, reader.inputs, path)
        try:
            return [np.asarray(inputs[row])[: reader.first] for row in rows]
        except OSError as error:
            raise IntegrityError(f"{path} is damaged: {error}.") from error


def _opened(path: Path) -> Any:
    h5py = library("h5py")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise IntegrityError(f"{path} is no readable HDF5 file: {error}.") from error


def _array(file: Any, name: str, path: Path) -> Any:
    """An array of numbers that lies in this very file: HDF5 can point to other files, and hold any object."""
    h5py = library("h5py")
    link = file.get(name, getlink=True)
    dataset = file.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise IntegrityError(f"{path} has no array {name!r} of its own; it has {', '.join(file)}.")
    if dataset.dtype.kind not in "iuf" or dataset.ndim == 0:
        raise IntegrityError(f"{path}: {name!r} holds {dataset.dtype}; only arrays of numbers are read.")
    return dataset

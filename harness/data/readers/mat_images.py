"""Images in MATLAB files: SVHN as its authors release it (Netzer et al., 2011)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, blockwise, by_split, checked, whole_numbers
from harness.data.readers.files import present
from harness.spec.errors import unknown
from harness.spec.readers import MatImagesReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


def list_samples(reader: MatImagesReader, folder: Path) -> Listing:
    """Samples `<split>/<row>`, images (h, w, c) uint8. Column: split. Of images, the file read last stays in memory."""
    import numpy as np

    paths = [present(folder, name) for name in reader.files.values()]
    labels = [whole_numbers(_array(path, reader.labels), str(path)) for path in paths]
    ids, splits = by_split(dict(zip(reader.files, map(len, labels), strict=True)))
    numbers = np.concatenate(labels)

    @lru_cache(maxsize=1)
    def images(block: int) -> np.ndarray:
        array = _array(paths[block], reader.images)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != len(labels[block]):
            raise IntegrityError(
                f"{paths[block]}: {reader.images} is {array.dtype} {array.shape}; uint8 (h, w, c, n) with "
                f"n = {len(labels[block])} is needed."
            )
        return array

    read = blockwise(
        [len(each) for each in labels],
        lambda block, rows: [np.ascontiguousarray(images(block)[..., row]) for row in rows],
    )
    numbers = numbers if reader.modulo is None else numbers % reader.modulo
    return checked(Listing(ids, numbers, {"split": splits}, read), reader.classes, str(folder))


def _array(path: Path, name: str) -> np.ndarray:
    """One variable. Raises IntegrityError for a file that is no MATLAB file of level 5, or is damaged."""
    from scipy.io import loadmat, whosmat

    try:
        known = [each[0] for each in whosmat(path)]
        if name in known:
            array: np.ndarray = loadmat(path, variable_names=[name])[name]
            return array
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise IntegrityError(f"{path} is no readable MATLAB file: {error}.") from error
    raise unknown(f"variable in {path}", name, known)

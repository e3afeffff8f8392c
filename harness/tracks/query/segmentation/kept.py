"""Segmentations that the networks of the last loop predict of held-out cases: a file a case, for pages.

No number rests on them: a board's come from counts of voxels. Label maps compress to about a hundredth of their bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.storage import read_arrays, write_arrays

if TYPE_CHECKING:
    import numpy as np

_NAME = "segmentation"


def keep_segmentation(folder: Path, case: int, labels: np.ndarray) -> None:
    """Write the classes (*shape) of held-out case number `case` over those of the loop before."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(_path(folder, case), {_NAME: labels.astype(np.min_scalar_type(int(labels.max())))})


def kept_segmentation(folder: Path, case: int) -> np.ndarray | None:
    """(*shape); None where the run keeps none. Raises IntegrityError for a damaged file."""
    path = _path(folder, case)
    return read_arrays(path).get(_NAME) if path.is_file() else None


def _path(folder: Path, case: int) -> Path:
    return folder / f"case_{case:04d}.npz"

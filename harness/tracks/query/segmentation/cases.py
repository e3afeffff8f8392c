"""The volumes of a data set: which there are, and their images and labels on demand.

Arrays are in array order, (z, y, x); all volumes of a set have one spacing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, ...]


class Cases(Protocol):
    """A pool of volumes to annotate, and held-out ones."""

    pool: tuple[str, ...]
    """Names, sorted."""
    held_out: tuple[str, ...]
    shapes: Mapping[str, Shape]
    """(z, y, x) of every case."""
    counts: Mapping[str, np.ndarray]
    """Voxels of each class, background first: (classes,) int64 of every case."""
    channels: tuple[str, ...]
    """Names, which tell nnU-Net how to normalise: "CT" as such, anything else by mean and deviation."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, ..., the background first."""
    spacing: tuple[float, ...]
    file_ending: str
    identity: str
    """Hash of everything that the arrays depend on."""

    def image(self, name: str) -> np.ndarray:
        """(channels, z, y, x) float32, finite."""
        ...

    def labels(self, name: str) -> np.ndarray:
        """(z, y, x) integers 0 ... classes - 1; not to be written to."""
        ...


class LabelMaps(Mapping[str, "np.ndarray"]):
    """Label maps of the pool by name, loaded on access."""

    def __init__(self, cases: Cases) -> None:
        self._cases = cases

    def __getitem__(self, name: str) -> np.ndarray:
        return self._cases.labels(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._cases.pool)

    def __len__(self) -> int:
        return len(self._cases.pool)


def count_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Voxels of each class, (classes,) int64, of labels that are all known."""
    import numpy as np

    return np.bincount(np.asarray(labels).ravel(), minlength=classes).astype(np.int64)

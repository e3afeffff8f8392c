"""The volumes of a data set: which there are, and their images and labels on demand.

Arrays are in array order, (z, y, x), of flat images (y, x); all of a set have one spacing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, ...]
UNLABELLED = -1
"""In label maps: the data set has no label here, nor can one be bought."""


class Region(NamedTuple):
    """A union of classes that networks learn as one, and that has a Dice of its own. Regions may overlap."""

    name: str
    values: tuple[int, ...]
    """In the files of the data set."""
    classes: tuple[int, ...]
    """The numbers of its classes."""
    written: int
    """The class that a predicted label map has where the region is found, later regions over earlier ones."""


class Cases(Protocol):
    """A pool of volumes to annotate, and held-out ones."""

    pool: tuple[str, ...]
    """Names, sorted."""
    held_out: tuple[str, ...]
    shapes: Mapping[str, Shape]
    """(z, y, x), or (y, x), of every case."""
    counts: Mapping[str, np.ndarray]
    """Labelled voxels of each class, background first: (classes,) int64 of every case."""
    channels: tuple[str, ...]
    """Names, which tell nnU-Net how to normalise: "CT" as such, anything else by mean and deviation."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, ..., the background first."""
    regions: tuple[Region, ...]
    """What is learned and scored instead of the classes; none where it is the classes."""
    spacing: tuple[float, ...]
    file_ending: str
    identity: str
    """Hash of everything that the arrays depend on."""
    contents: str
    """Hash of the files that the pool's images come from, without labels: no rounding on another machine changes it."""

    def image(self, name: str) -> np.ndarray:
        """(channels, *shape) float32, finite."""
        ...

    def labels(self, name: str) -> np.ndarray:
        """(*shape) integers 0 ... classes - 1, or UNLABELLED; not to be written to."""
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
    """Voxels of each class, (classes,) int64; those UNLABELLED are none's."""
    import numpy as np

    known = np.asarray(labels)
    return np.bincount(known[known != UNLABELLED], minlength=classes).astype(np.int64)


def scored_classes(cases: Cases) -> list[tuple[int, ...]] | None:
    """The background and each region, as classes; None where each class is scored by itself."""
    return [(0,), *(region.classes for region in cases.regions)] if cases.regions else None


def summary_keys(cases: Cases) -> list[str]:
    """What nnU-Net's summary calls each region, or each foreground class: the values in the files."""
    if not cases.regions:
        return [str(number) for number in range(1, len(cases.classes))]
    return [str(each.values if len(each.values) > 1 else each.values[0]) for each in cases.regions]

"""The volumes of a data set: which there are, and their images and labels on demand.

Arrays are in array order, (z, y, x); all volumes of a set have one spacing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.spec.errors import UsageError
from harness.spec.query import RawFolder, TemplateVolumes
from harness.storage import content_id
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, ...]
_Triple = tuple[int, int, int]


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


def open_cases(setting: Setting, scratch: Path) -> Cases:
    """The volumes of a setting, all read and checked once; `scratch` is a folder for what is computed from them.

    A pool must have every class in at least two images, as cross-validation over images needs. Raises UsageError for
    data that cannot be used, with the file; IntegrityError for pinned files that were changed.
    """
    cases: Cases
    if isinstance(setting.dataset, TemplateVolumes):
        path, _ = setting.protocol.verified(setting.dataset.cases)
        cases = TemplateCases(path)
    elif isinstance(setting.dataset, RawFolder):
        from harness.tracks.query.segmentation.raw_folder import RawFolderCases

        folder = setting.protocol.locate(setting.dataset.folder)
        pinned = setting.protocol.verified(setting.dataset.cases)[0] if setting.dataset.cases else None
        cases = RawFolderCases(setting.dataset, folder, pinned, scratch)
    else:
        raise TypeError(f"{setting.dataset.id} holds no volumes")
    _check_classes(cases)
    return cases


class TemplateCases:
    """Boxes of the MNI152 template, at the places and with the seeds that a JSON file pins."""

    channels: tuple[str, ...] = ("T1",)
    file_ending = ".nii.gz"

    def __init__(self, path: Path) -> None:
        from harness.data.template import CLASSES, SPACING

        self._pinned = _Pinned.read(path)
        self._boxes = {**self._pinned.pool, **self._pinned.validation}
        self.pool = tuple(sorted(self._pinned.pool))
        self.held_out = tuple(sorted(self._pinned.validation))
        self.classes: tuple[str, ...] = CLASSES
        self.spacing: tuple[float, ...] = SPACING
        self.shapes: Mapping[str, Shape] = dict.fromkeys(self._boxes, self._pinned.shape)
        self.counts: Mapping[str, np.ndarray] = {
            name: count_labels(self.labels(name), len(CLASSES)) for name in self._boxes
        }
        self.identity = content_id(["mni152", self._pinned.raw])

    def image(self, name: str) -> np.ndarray:
        return self._volume(name)[0][None]

    def labels(self, name: str) -> np.ndarray:
        return self._volume(name)[1]

    def _volume(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        from harness.data.template import template_volume

        corner, seed = self._boxes[name]
        return template_volume(corner, self._pinned.shape, seed, self._pinned.bias, self._pinned.noise)


@dataclass(frozen=True)
class _Pinned:
    """What `cases.json` of template volumes says: corners and seeds by case."""

    shape: _Triple
    bias: float
    noise: float
    pool: Mapping[str, tuple[_Triple, int]]
    validation: Mapping[str, tuple[_Triple, int]]
    raw: Any

    @classmethod
    def read(cls, path: Path) -> _Pinned:
        from harness.storage import read_json

        raw = read_json(path)
        try:
            pool, validation = (
                {row["name"]: (_triple(row["corner"]), int(row["seed"])) for row in raw[part]}
                for part in ("pool", "validation")
            )
            return cls(_triple(raw["shape"]), float(raw["bias"]), float(raw["noise"]), pool, validation, raw)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path} does not pin template volumes: it needs `shape`, `bias`, `noise`, and in `pool` and "
                f"`validation` lists of `name`, `corner` (z, y, x) and `seed` ({type(error).__name__}: {error})."
            ) from error


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


def _check_classes(cases: Cases) -> None:
    import numpy as np

    if not cases.pool or not cases.held_out:
        empty = "pool" if not cases.pool else "held-out part"
        raise UsageError(f"the {empty} of the data set has no case; it needs some of both kinds.")
    present = np.array([cases.counts[name] > 0 for name in cases.pool])
    if not present[:, 1:].any():
        raise UsageError("no image of the pool has any foreground; check the label files, there is nothing to learn.")
    for number, name in enumerate(cases.classes):
        if (images := int(present[:, number].sum())) < 2:
            raise UsageError(
                f"class {number} ({name}) is in {images} of the {len(cases.pool)} pool images; cross-validation needs "
                f"it in two: add cases that show it, or merge it with another class."
            )


def _triple(values: Sequence[int]) -> _Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x

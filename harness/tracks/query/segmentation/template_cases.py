"""Volumes cut from the MNI152 template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.storage import content_id, read_json
from harness.tracks.query.segmentation.cases import Region, Shape, count_labels

if TYPE_CHECKING:
    import numpy as np

_Triple = tuple[int, int, int]


class TemplateCases:
    """Boxes of the MNI152 template, at the places and with the seeds that a JSON file pins."""

    channels: tuple[str, ...] = ("T1",)
    regions: tuple[Region, ...] = ()
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
        self.identity = self.contents = content_id(["mni152", self._pinned.raw])

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


def _triple(values: Sequence[int]) -> _Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x

"""The images of a benchmark whose sources are packages: chosen, and corrupted where it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.corruptions import corrupt
from harness.data.embedded import mnist_5k, optical_digits, photo_crops
from harness.spec.sources import ImageSet, ImageSource
from harness.storage import read_json

if TYPE_CHECKING:
    import numpy as np

NO_CLASS = -1


@dataclass(frozen=True)
class LabelledImages:
    """images (n, 28, 28) uint8; labels (n,) int64, `NO_CLASS` for photos; ids (n,), position in the source."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def load_images(chosen: ImageSet, source: ImageSource, splits: Path) -> LabelledImages:
    """The images of one set, in the order that the benchmark fixes."""
    import numpy as np

    if chosen.images == "photos":
        images = photo_crops(chosen.count or 500, chosen.seed)
        labels = np.full(len(images), NO_CLASS)
    else:
        images, labels = mnist_5k() if chosen.images == "mnist-5k" else optical_digits()
    ids = np.arange(len(images))
    if chosen.split is not None:
        ids = np.asarray(read_json(splits)[chosen.split], dtype=np.int64)
    if chosen.classes is not None:
        ids = ids[np.isin(labels[ids], chosen.classes)]
    if chosen.count is not None:
        ids = ids[: chosen.count]
    if chosen.severity is None:
        return LabelledImages(images[ids], labels[ids], ids)
    return _corrupted(images, labels, ids, chosen, source)


def _corrupted(
    images: np.ndarray, labels: np.ndarray, ids: np.ndarray, chosen: ImageSet, source: ImageSource
) -> LabelledImages:
    """Deal the images in turn to the corruptions, by name, so that each gets as many of each class."""
    import numpy as np

    assert chosen.severity is not None
    assert chosen.per_corruption is not None
    names = sorted(source.corruptions)
    ids = ids[: chosen.per_corruption * len(names)]
    if len(ids) < chosen.per_corruption * len(names):
        raise ValueError(f"set {chosen.id}: {len(ids)} images do not give {chosen.per_corruption} to each corruption")
    corrupted = np.empty((len(ids), *images.shape[1:]), dtype=np.uint8)
    for position, name in enumerate(names):
        mine = np.arange(position, len(ids), len(names))
        strength = source.corruptions[name][chosen.severity - 1]
        corrupted[mine] = corrupt(images[ids[mine]], name, strength, chosen.seed, ids[mine])
    return LabelledImages(corrupted, labels[ids], ids)

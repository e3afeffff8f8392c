"""Labelled grey images of 28x28 pixels by name: what packages bring along, and parts of data sets of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.data.embedded import SIDE, mnist_5k, optical_digits
from harness.data.manifests import Manifest
from harness.data.store import dataset_folder, missing_files
from harness.spec.errors import UsageError, unknown

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class LabelledImages:
    """images (n, 28, 28) uint8, 0 = black; labels (n,) int64; ids: (n,) names of the images in their data set."""

    images: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]


def embedded_images(name: str) -> LabelledImages:
    """All images of a data set that a package brings along, named by their positions. Errors as in `package_bytes`."""
    images, labels = _EMBEDDED[name]()
    return LabelledImages(images, labels, tuple(map(str, range(len(labels)))))


_EMBEDDED: Mapping[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "mnist-5k": mnist_5k,
    "optical-digits": optical_digits,
}


def part_images(manifest: Manifest, part: str) -> LabelledImages:
    """All images of a part of a fetched data set, in the part's order; read anew at each call.

    Raises UsageError for an unknown part, for files that are not here (it says how to fetch them), and for images that
    are not grey or not of 28x28 pixels; IntegrityError for damaged files.
    """
    import numpy as np

    from harness.data.readers.opening import open_part

    check_part(manifest, part)
    samples = open_part(manifest, part, dataset_folder(manifest))
    images = samples.read(range(len(samples)))
    for name, image in zip(samples.ids, images, strict=True):
        if image.shape != (SIDE, SIDE) or image.dtype != np.uint8:
            raise UsageError(
                f"the image {name} of {manifest.spec.id} has the shape {image.shape} and the type {image.dtype}; "
                f"grey images of {SIDE}x{SIDE} pixels, uint8, are needed here."
            )
    return LabelledImages(np.stack(images), samples.labels, tuple(samples.ids))


def check_part(manifest: Manifest, part: str) -> None:
    """Raise UsageError for a part that the data set does not have; needs no fetched files."""
    if part not in manifest.spec.parts:
        raise unknown(f"part of {manifest.spec.id}", part, manifest.spec.parts)


def is_fetched(manifest: Manifest) -> bool:
    """Whether all files of a data set are on this machine."""
    return not missing_files(manifest)

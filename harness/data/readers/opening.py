"""Opening the parts of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.data.manifests import Manifest
from harness.data.parts import select
from harness.data.readers import (
    arrays,
    cifar_binary,
    hdf5,
    hub_images,
    image_tables,
    image_tree,
    mat_images,
    medmnist,
    shapes,
    volumes,
)
from harness.data.readers.base import Listing, Selection
from harness.spec.errors import UsageError
from harness.spec.readers import ImageTreeReader
from harness.storage import IntegrityError

_READERS: Mapping[str, Callable[[Any, Path], Listing]] = {
    "arrays": arrays.list_samples,
    "cifar-binary": cifar_binary.list_samples,
    "hdf5": hdf5.list_samples,
    "hub-images": hub_images.list_samples,
    "image-tables": image_tables.list_samples,
    "image-tree": image_tree.list_samples,
    "mat-images": mat_images.list_samples,
    "medmnist": medmnist.list_samples,
    "shapes": shapes.list_samples,
    "volumes": volumes.list_samples,
}
"""By the kind that `harness.spec.readers` gives each."""


def open_part(manifest: Manifest, part: str, folder: Path) -> Selection:
    """The samples of a part, read from the files in `folder`; only ids and labels are held.

    Raises UsageError for a part that is not defined, asks for columns that are not there or has no sample, and for
    files that are missing; IntegrityError for damaged ones, and for a part that is not as the data set's lock has it.
    """
    samples = select(part, manifest.spec.parts, open_listing(manifest, folder), (folder, manifest.folder))
    pinned = manifest.lock.parts.get(part) if manifest.lock else None
    if pinned is not None and part_id(samples) != pinned:
        raise IntegrityError(
            f"the part {part} of {manifest.spec.id} has other samples than when the data set was locked; "
            f"fetch it again, or see what changed."
        )
    return samples


def open_listing(manifest: Manifest, folder: Path) -> Listing:
    """All samples of a data set; errors as `open_part`."""
    if manifest.spec.reader is None:
        raise UsageError(f"{manifest.spec.id} has no samples to open: its files are read by other commands.")
    if isinstance(manifest.spec.reader, ImageTreeReader):
        return image_tree.list_samples(manifest.spec.reader, folder, manifest.folder)
    return _READERS[manifest.spec.reader.kind](manifest.spec.reader, folder)


def part_id(samples: Selection) -> str:
    """SHA-256 over ids and labels in their order, as 64 hexadecimal digits: pins a split."""
    digest = hashlib.sha256()
    for name, label in zip(samples.ids, samples.labels.tolist(), strict=True):
        digest.update(json.dumps([name, label]).encode() + b"\n")
    return digest.hexdigest()


def part_ids(manifest: Manifest, folder: Path) -> dict[str, str]:
    """`part_id` of every part of a data set; errors as `open_part`."""
    if not manifest.spec.parts:
        return {}
    listing, places = open_listing(manifest, folder), (folder, manifest.folder)
    return {name: part_id(select(name, manifest.spec.parts, listing, places)) for name in manifest.spec.parts}

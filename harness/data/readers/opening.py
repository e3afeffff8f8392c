"""Opening the parts of a data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.data.manifests import Manifest
from harness.data.parts import select
from harness.data.readers.base import Listing, Samples
from harness.spec.errors import UsageError
from harness.spec.readers import (
    ArraysReader,
    CifarBinaryReader,
    Hdf5Reader,
    HubImagesReader,
    ImageTablesReader,
    ImageTreeReader,
    MedMNISTReader,
    Reader,
    ShapesReader,
)


def open_part(manifest: Manifest, part: str, folder: Path) -> Samples:
    """The samples of a part, read from the files in `folder`; only ids and labels are held.

    Raises UsageError for a part that is not defined, asks for columns that are not there or has no sample, and for
    files that are missing; IntegrityError for damaged ones.
    """
    return select(part, manifest.spec.parts, open_listing(manifest, folder), (folder, manifest.folder))


def open_listing(manifest: Manifest, folder: Path) -> Listing:
    """All samples of a data set; errors as `open_part`."""
    if manifest.spec.reader is None:
        raise UsageError(f"{manifest.spec.id} has no samples to open: its files are read by other commands.")
    return _listing(manifest.spec.reader, folder)


def part_id(samples: Samples) -> str:
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


def _listing(reader: Reader, folder: Path) -> Listing:
    from harness.data.readers import (
        arrays,
        cifar_binary,
        hdf5,
        hub_images,
        image_tables,
        image_tree,
        medmnist,
        shapes,
        volumes,
    )

    if isinstance(reader, MedMNISTReader):
        return medmnist.list_samples(reader, folder)
    if isinstance(reader, CifarBinaryReader):
        return cifar_binary.list_samples(reader, folder)
    if isinstance(reader, ArraysReader):
        return arrays.list_samples(reader, folder)
    if isinstance(reader, HubImagesReader):
        return hub_images.list_samples(reader, folder)
    if isinstance(reader, ImageTreeReader):
        return image_tree.list_samples(reader, folder)
    if isinstance(reader, ImageTablesReader):
        return image_tables.list_samples(reader, folder)
    if isinstance(reader, ShapesReader):
        return shapes.list_samples(reader, folder)
    if isinstance(reader, Hdf5Reader):
        return hdf5.list_samples(reader, folder)
    return volumes.list_samples(reader, folder)

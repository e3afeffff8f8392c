"""How the files of a data set become samples: a few generic readers, each described by plain data."""

from __future__ import annotations

from typing import Literal

from harness.spec.base import Slug, Spec


class MedMNISTReader(Spec):
    """A MedMNIST `.npz`: arrays `<split>_images` and `<split>_labels`."""

    kind: Literal["medmnist"]
    file: str


Reader = MedMNISTReader


class Part(Spec):
    """A named, ordered selection of samples."""

    split: str | None = None


class Product(Spec):
    """A file in the form that protocols read, made of parts."""

    path: str
    parts: tuple[Slug, ...]

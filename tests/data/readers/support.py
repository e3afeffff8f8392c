"""Data sets of the tests' own: manifests in memory, and files in the layouts of the real ones."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.manifests import Manifest
from harness.data.readers.base import Selection
from harness.data.readers.opening import open_part
from harness.spec.manifest import DataSet

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
RNG = np.random.default_rng(7)


def shared(*parts: str) -> Path:
    """A file or folder of real data; skips the test where it is absent."""
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not here; HARNESS_SHARED names the folder that has data/{parts[0]}")
    return path


def dataset(reader: Mapping[str, Any], parts: Mapping[str, Any] | None = None, **more: Any) -> DataSet:
    own = {"kind": "own", "page": "https://example.org"}
    fields = {"id": "mine", "title": "Mine", "licence": "none", "citation": ["me"]}
    files = [{"path": "data", "origin": own, "folder": True}]
    return DataSet.model_validate({"files": files, "reader": reader, "parts": parts or {"all": {}}, **fields, **more})


def opened(
    folder: Path, reader: Mapping[str, Any], parts: Mapping[str, Any] | None = None, part: str = "all"
) -> Selection:
    return open_part(Manifest(dataset(reader, parts), None, folder), part, folder)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def cifar_100(folder: Path, per_class: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A CIFAR-100 tree with `per_class` training images and half as many test images of each fine class; fine class f
    is of coarse class f // 5. Returns records (n, 3074) of both files."""
    made = []
    for name, count in (("train", per_class), ("test", per_class // 2)):
        fine = RNG.permutation(np.repeat(np.arange(100), count))
        records = np.concatenate([(fine // 5)[:, None], fine[:, None], pixels(len(fine), 3072)], axis=1)
        write(folder / "cifar-100-binary" / f"{name}.bin", records.astype(np.uint8).tobytes())
        made.append(records)
    coarse, fine_names = FINE_OF_COARSE.keys(), [name for names in FINE_OF_COARSE.values() for name in names]
    write(folder / "cifar-100-binary/coarse_label_names.txt", "\n".join(coarse) + "\n")
    write(folder / "cifar-100-binary/fine_label_names.txt", "\n".join(fine_names) + "\n\n")
    return made[0], made[1]


def cifar_10(folder: Path, train: int = 50, test: int = 20) -> None:
    """A CIFAR-10 tree: `train` images in each of five files."""
    tree = folder / "cifar-10-batches-bin"
    for name, count in (*((f"data_batch_{number}", train) for number in range(1, 6)), ("test_batch", test)):
        labels = np.arange(count)[:, None] % 10
        write(tree / f"{name}.bin", np.concatenate([labels, pixels(count, 3072)], axis=1).astype(np.uint8).tobytes())
    write(tree / "batches.meta.txt", "\n".join("abcdefghij") + "\n\n")


_HELD_OUT = [
    "seal",
    "flatfish",
    "tulip",
    "bowl",
    "pear",
    "lamp",
    "couch",
    "beetle",
    "lion",
    "skyscraper",
    "sea",
    "cattle",
    "raccoon",
    "lobster",
    "girl",
    "lizard",
    "hamster",
    "oak_tree",
    "motorcycle",
    "tractor",
]

FINE_OF_COARSE = {
    f"group-{number:02}": [f"{number}-a", f"{number}-b", name, f"{number}-c", f"{number}-d"]
    for number, name in enumerate(_HELD_OUT)
}
"""Not the real names, but for the held-out ones, one a group, in the right order."""

"""Manifests made by tests, and the state of the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import Manifest, load_manifest
from harness.data.origins.base import ProgressListener, RetryPolicy
from harness.spec.manifest import DataSet

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=100.0, connect=60.0, stall=60.0, least_bytes=100)


class Listener(ProgressListener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: list[tuple[str, int | None, int]] = []
        self.bytes = 0

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        self.begun.append((what, total, done))

    def advance(self, count: int) -> None:
        self.bytes += count

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def dataset(folder: Path, *files: dict[str, Any], **facts: Any) -> Manifest:
    """A manifest of one or more files."""
    fields = {"id": "toy", "title": "Toy", "licence": "none", "citation": ["me"], "homepage": "https://example.org/toy"}
    return Manifest(DataSet.model_validate({**fields, "files": list(files), **facts}), None, folder)


def url_file(url: str, data: bytes | None = None, **facts: Any) -> dict[str, Any]:
    """A file at an address, pinned if `data` is given."""
    pins = {} if data is None else {"sha256": sha256(data), "bytes": len(data)}
    return {"path": url.rpartition("/")[2], "origin": {"kind": "url", "url": url}, **pins, **facts}


def hastily(progress: ProgressListener | None = None, **facts: Any) -> FetchOptions:
    """How tests fetch: without long waits."""
    return FetchOptions(**{"retry": HASTY, "progress": progress or ProgressListener(), **facts})


def tree(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder by their relative names, without locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_medmnist(
    folder: Path, counts: dict[str, int], shape: tuple[int, ...] = (28, 28), classes: int = 2
) -> dict[str, np.ndarray]:
    """A locked data set `scans` in MedMNIST's layout: a manifest, and own/scans.npz with these arrays."""
    rng = np.random.default_rng(sum(counts.values()))
    arrays = {}
    for split, count in counts.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, classes, (count, 1), dtype=np.uint8)
    (folder / "own").mkdir(exist_ok=True)
    np.savez(folder / "own" / "scans.npz", **arrays)
    data = (folder / "own" / "scans.npz").read_bytes()
    (folder / "source.toml").write_text(
        f"""
id = "scans"
title = "Scans"
licence = "made up"
citation = ["nobody"]
homepage = "https://example.org/scans"
files = [{{ path = "scans.npz", origin = {{ kind = "url", url = "https://example.org/scans.npz" }}, bytes = {len(data)}, sha256 = "{sha256(data)}" }}]
reader = {{ kind = "medmnist", file = "scans.npz" }}
parts = {{ train = {{ split = "train" }}, val = {{ split = "val" }}, test = {{ split = "test" }} }}
"""
    )
    return arrays


def fetch_medmnist(folder: Path) -> Manifest:
    """The data set that `write_medmnist` has written, fetched into the cache."""
    manifest = load_manifest(folder / "source.toml")
    fetch(manifest, FetchOptions(source=folder / "own"))
    return manifest

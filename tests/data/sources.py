"""Manifests made by tests, and the state of the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from harness.data.fetch import FetchOptions
from harness.data.manifests import Manifest
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

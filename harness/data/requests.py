"""How files are asked for, and how what comes is held against what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from harness.data import store
from harness.data.manifests import Manifest
from harness.data.origins.base import Digests, DownloadRequest, ProgressListener, RetryPolicy
from harness.spec.manifest import SourceFile


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    pattern: only files whose path fits (as in a shell). source: a folder, or file, in which the user has files already:
    they are referred to, not copied, unless `copy`. max_bytes: the most that may come of one file, where its exact size is
    not recorded.
    """

    pattern: str | None = None
    source: Path | None = None
    copy: bool = False
    max_bytes: int | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    progress: ProgressListener = field(default_factory=ProgressListener)


def request_for(manifest: Manifest, file: SourceFile, options: FetchOptions) -> DownloadRequest:
    """One file of a data set, asked for; its bytes are collected in the cache."""
    part = store.incoming_path(manifest, file)
    return DownloadRequest(
        manifest.spec,
        store.reference(manifest),
        file,
        manifest.pin(file),
        part,
        options.retry,
        options.progress,
        options.max_bytes,
    )


def difference(digests: Digests, request: DownloadRequest, published: str | None = None) -> str | None:
    """How a file differs from what is known of it."""
    pin = request.pin
    if pin.bytes is not None and digests.size != pin.bytes:
        return f"it has {digests.size} bytes, expected {pin.bytes}"
    if pin.sha256 is not None and digests.sha256 != pin.sha256:
        return f"its sha256 is {digests.sha256[:12]}…, expected {pin.sha256[:12]}…"
    if not digests.sha256.startswith(request.file.sha256_begins or ""):
        return f"its sha256 is {digests.sha256[:12]}…, which should begin with {request.file.sha256_begins}"
    if not digests.size and pin.sha256 is None and pin.bytes is None:
        return "it is empty"
    for md5 in (request.file.md5, published):
        if md5 is not None and digests.md5 != md5:
            return f"its md5 is {digests.md5}, expected {md5}"
    return None


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

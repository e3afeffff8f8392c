"""Files of Zenodo records, by its record API. `HARNESS_ZENODO_URL` names another host that answers as Zenodo does."""

from __future__ import annotations

import os
from typing import Any, NamedTuple
from urllib.parse import quote

from harness.data.origins.base import DownloadedFile, DownloadRequest, OriginError
from harness.data.origins.http import download, get_json
from harness.spec.manifest import ZenodoFile


class RecordFile(NamedTuple):
    """What a record says of one of its files."""

    url: str
    bytes: int | None
    md5: str | None


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`."""
    return _record_file(request).bytes


def obtain(request: DownloadRequest) -> DownloadedFile:
    """As `base.Client`; the md5 is the record's own."""
    listed = _record_file(request)
    return download(listed.url, request)._replace(md5=listed.md5)


def address(request: DownloadRequest) -> str:
    """Where the file itself lies. Raises OriginError."""
    return _record_file(request).url


def _record_file(request: DownloadRequest) -> RecordFile:
    origin = request.file.origin
    assert isinstance(origin, ZenodoFile)
    base = os.environ.get("HARNESS_ZENODO_URL", "https://zenodo.org").rstrip("/")
    answer = get_json(f"{base}/api/records/{origin.record}", request)
    files = answer.get("files") if isinstance(answer, dict) else None
    if not isinstance(files, list):
        raise OriginError(f"{base}/records/{origin.record} lists no files (perhaps restricted); {request.by_hand()}")
    entries = {_name(file): file for file in files if isinstance(file, dict)}
    name = origin.file if origin.file is not None else next(iter(entries), None) if len(entries) == 1 else None
    if name is None or name not in entries:
        raise OriginError(
            f"{base}/records/{origin.record} holds {', '.join(sorted(entries)) or 'no files'}, from which "
            f"{origin.file or 'one must be named for'} {request.file.path} is not to be had; {request.by_hand()}"
        )
    file = entries[name]
    links = file.get("links")
    address = links.get("self") if isinstance(links, dict) and "key" in file else None
    length = file.get("size", file.get("filesize"))
    return RecordFile(
        address or f"{base}/records/{origin.record}/files/{quote(name)}?download=1",
        int(length) if isinstance(length, int | float) else None,
        _md5(file.get("checksum")),
    )


def _name(file: dict[str, Any]) -> str:
    """In the older style of answers `key`, in the newer one `filename`."""
    return str(file.get("key", file.get("filename", "")))


def _md5(checksum: Any) -> str | None:
    """With or without the name of its algorithm before it; None for another algorithm."""
    kind, _, digits = str(checksum or "").rpartition(":")
    return digits.lower() if kind in ("", "md5") and len(digits) == 32 else None

"""Members of a zip that lies elsewhere, without the rest of it: read by ranges of bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.data.origins import http, zenodo
from harness.data.origins.base import DownloadRequest, OriginError, refuse_offline
from harness.spec.manifest import UrlFile

if TYPE_CHECKING:
    import httpx2
    from _typeshed import WriteableBuffer

_TAIL = 1 << 17  # the end of the archive, asked for first: its directory, and often all members that are wanted
_GAP = 1 << 17  # bytes between members that are rather fetched than asked around: hosts count requests
_AHEAD = 1 << 23  # how much is asked for at once: members beside each other come together


class RemoteFile(io.RawIOBase):
    """A file at an address that can be read from anywhere in it, as long as it stays the same file.

    name: what it is called. size: bytes. fetched: bytes that have come so far.
    """

    def __init__(self, client: httpx2.Client, url: str, request: DownloadRequest) -> None:
        self.name = request.file.archive_name
        self.fetched = 0
        self._client, self._url, self._request = client, url, request
        self._validator: str | None = None
        self.size = 0
        self._tail = self._ask(f"bytes=-{_TAIL}", 0)
        self._position = 0
        self._spans: list[tuple[int, int]] = []

    def limit_to(self, spans: Iterable[tuple[int, int]]) -> None:
        """Nothing beyond these half-open ranges of bytes, and small gaps between them, is asked for when they are read."""
        self._spans = []
        for start, end in sorted(spans):
            if self._spans and start - self._spans[-1][1] <= _GAP:
                start = self._spans.pop()[0]
            self._spans.append((start, end))

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As io.RawIOBase. Raises OriginError where the server gives no parts, or the file changes meanwhile."""
        view = memoryview(buffer)
        start = self._position
        within = next((stop for first, stop in self._spans if first <= start < stop), self.size)
        end = min(start + len(view), within, self.size)
        if start >= end:
            return 0
        first = self.size - len(self._tail)
        data = (
            self._tail[start - first : end - first]
            if start >= first
            else self._ask(f"bytes={start}-{end - 1}", end - start)
        )
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _ask(self, span: str, count: int) -> bytes:
        if self.fetched + count > self._request.most:
            raise self._request.too_large(f"takes more than {self._request.most} bytes to be read")
        data = http.with_retries(lambda: self._part(span), self._url, self._request)
        self.fetched += len(data)
        return data

    def _part(self, span: str) -> bytes:
        headers = {"Range": span}
        with http.transport_errors(self._request), self._client.stream("GET", self._url, headers=headers) as answer:
            http.check_status(answer, self._request)
            pieces = http.chunks(answer, not self.fetched, self._request)
            start, end, size = self._place(answer, pieces)
            if self._validator is None:
                self.size, self._validator = size, http.validator(answer) or ""
            elif (size, http.validator(answer) or "") != (self.size, self._validator):
                raise OriginError(f"{self._url} was changed while it was read; run this again.")
            data = bytearray()
            while len(data) <= end - start and (piece := next(pieces, b"")):
                data += piece
        if len(data) != end + 1 - start:
            raise http.TransientError(f"{len(data)} of {end + 1 - start} bytes came")
        return bytes(data)

    def _place(self, answer: httpx2.Response, pieces: Iterator[bytes]) -> tuple[int, int, int]:
        """First and last byte of a part, and the size of the whole."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("content-range", ""))
        if answer.status_code != 206 or found is None:
            next(pieces, b"")  # a web page says so itself
            raise OriginError(
                f"{self._url} gives no parts of files, only all of {self.name}; {self._request.by_hand()}"
            )
        start, end, size = (int(number) for number in found.groups())
        return start, end, size


@contextmanager
def open_remote(request: DownloadRequest) -> Iterator[RemoteFile]:
    """The archive that a file's members come from. Raises OriginError."""
    refuse_offline(request)
    url = request.file.origin.url if isinstance(request.file.origin, UrlFile) else zenodo.address(request)
    with http.open_client(request) as client:
        yield RemoteFile(client, url, request)


def buffered(file: RemoteFile) -> io.BufferedReader:
    """The file, read with some bytes ahead."""
    return io.BufferedReader(file, _AHEAD)

"""What every client is asked for and what it gives back."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.data.manifests import Pin
from harness.spec.errors import UsageError
from harness.spec.manifest import DataSet, SourceFile

_CHUNK = 1 << 20
_SMALL = 1 << 26  # rough sizes below are not worth a refusal
UNSIZED = 1 << 33
"""Bytes that come of a file whose size nobody says, unless the user allows more."""


_SKIPPED = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff|\s|<\?xml[^>]*>|<!--.*?-->)*", re.DOTALL)
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body")
PAGE_NAMES = (".html", ".htm", ".xhtml")


def is_page(start: bytes, name: str) -> bool:
    """Whether a file begins as a web page, although it is to be something else."""
    if name.lower().endswith(PAGE_NAMES):
        return False
    plain = start.replace(b"\0", b"")  # two bytes a sign
    return plain[_SKIPPED.match(plain).end() :].lower().startswith(_PAGE)  # type: ignore[union-attr]


class OriginError(UsageError):
    """An origin that does not give a file: not reachable, refused, gone. The message says what to do."""


class ProgressListener:
    """Receives progress and messages; this one ignores them, subclasses show them."""

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Something begins that takes `total` bytes, of which some are done already."""

    def advance(self, count: int) -> None:
        """So many bytes more are done."""

    def say(self, sentence: str) -> None:
        """Something a user should know, such as a wait."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a download is tried; times in seconds. Only attempts that bring no new byte are counted."""

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 120.0
    connect: float = 30.0
    stall: float = 60.0
    """Without a byte, or with fewer than `least_bytes`, before a connection is given up and made anew."""
    least_bytes: int = 4096


@dataclass(frozen=True)
class DownloadRequest:
    """One file to download: `part` is where its bytes are collected; they stay there for the next attempt."""

    spec: DataSet
    name: str
    """How a command names the data set."""
    file: SourceFile
    pin: Pin
    part: Path
    retry: RetryPolicy = RetryPolicy()
    progress: ProgressListener = field(default_factory=ProgressListener)
    max_bytes: int | None = None
    """The most that may come, as the user says."""

    @property
    def most(self) -> int:
        """Bytes that may come where no length is announced: as the user says, as recorded, twice what is roughly expected,
        else `UNSIZED`."""
        if self.max_bytes is not None:
            return self.max_bytes
        known = self.pin.bytes if not self.file.members else None
        if known is not None:
            return known
        return UNSIZED if self.file.about_bytes is None else max(2 * self.file.about_bytes, _SMALL)

    def check_announced(self, size: int) -> None:
        """Raise OriginError for an announced size that is more than what is expected, where no exact one is recorded."""
        expecting = self.max_bytes is not None or self.file.about_bytes is not None
        if self.pin.bytes is None and expecting and size > self.most:
            raise self.too_large(f"has {size} bytes")

    def too_large(self, what: str) -> OriginError:
        """That more comes, or is announced, than may. what: how much, as the middle of a sentence."""
        expected = (
            "nobody has recorded its size"
            if self.file.about_bytes is None
            else (f"about {self.file.about_bytes} bytes are expected")
        )
        return OriginError(
            f"{self.file.path} of {self.spec.id} {what}, but {expected}: it was changed, or this is not the file; if it is "
            f"right, run this again with --max-bytes N, or {self.by_hand()}"
        )

    def by_hand(self) -> str:
        """What a user can always do instead, as the end of a sentence."""
        page = f" from {self.spec.homepage}" if self.spec.homepage else ""
        return f"get {self.file.path} by hand{page}, then run: harness data fetch {self.name} --from FOLDER"

    def access(self) -> str:
        """How access is asked for, as the end of a sentence."""
        terms = self.spec.terms.rstrip(".") or "it may need an account or a licence"
        return f"{terms}{f' (see {self.spec.homepage})' if self.spec.homepage else ''}"


class Digests:
    """Size, sha256 and md5 of bytes as they pass. The md5 is what archives publish; it proves nothing by itself."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    @classmethod
    def of(cls, path: Path, progress: ProgressListener | None = None) -> Digests:
        """Of a file's bytes, in constant memory."""
        digests = cls()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digests.update(chunk)
                if progress is not None:
                    progress.advance(len(chunk))
        return digests

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()


class DownloadedFile(NamedTuple):
    """A whole file, which may be moved away; `md5` is what its origin says that it is."""

    path: Path
    digests: Digests
    revision: str | None = None
    md5: str | None = None


class Client(Protocol):
    """What a module of this package offers."""

    def size(self, request: DownloadRequest, /) -> int | None:
        """Bytes of the file, asked for without fetching it; None where its origin does not say."""
        ...

    def obtain(self, request: DownloadRequest, /) -> DownloadedFile:
        """The whole file, unchecked. Raises OriginError, or IntegrityError where it is certainly another one."""
        ...


def offline() -> bool:
    """Whether the user has asked for no network, in the way of the Hugging Face libraries."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def refuse_offline(request: DownloadRequest) -> None:
    """Raise OriginError where there is to be no network."""
    if offline():
        raise OriginError(
            f"{request.file.path} is not here and HF_HUB_OFFLINE is set; unset it, or {request.by_hand()}"
        )

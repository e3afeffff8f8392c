"""What every client is asked for and what it gives back."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.data.manifests import Pin
from harness.spec.errors import UsageError
from harness.spec.manifest import DataSet, SourceFile

_CHUNK = 1 << 20


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

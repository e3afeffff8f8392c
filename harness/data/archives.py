"""Archives, unpacked member by member: nothing leaves its folder, nothing but plain files, nothing without end."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Literal, NamedTuple

from harness.data.names import PortableNames
from harness.data.origins.base import Digests, ProgressListener
from harness.data.origins.ranges import RemoteFile, buffered
from harness.storage import IntegrityError, StorageError, UnsafeArtefactError, growing, make_folder

Kind = Literal["tar", "zip", "gzip", "tars"]

_CHUNK = 1 << 20
_READ_ONLY = 0o444
_TRAILING = 1 << 26  # bytes after the last member; tar fills up its last block
_RESERVE = 1 << 28  # bytes that unpacking leaves free on the disk


class Member(NamedTuple):
    """A file that came out of an archive."""

    sha256: str
    bytes: int


class UnpackLimits(NamedTuple):
    """How much may come out: `ratio` times the archive's own size, or `floor` bytes where that is more; and which members
    (of a zip), the others being left in it."""

    ratio: int = 100
    floor: int = 1 << 30
    members: int = 5_000_000
    wanted: Callable[[str], bool] = lambda name: True


class _Budget:
    """Bytes that may still come out of an archive."""

    def __init__(self, archive: Path | RemoteFile, shown: str, folder: Path, limits: UnpackLimits) -> None:
        self._archive, self._limits = shown, limits
        size = archive.stat().st_size if isinstance(archive, Path) else archive.size
        self._left = max(limits.floor, limits.ratio * size)
        self._free = shutil.disk_usage(folder).free - _RESERVE
        self._members = 0

    def begin(self, announced: int) -> None:
        """A member of this size is about to be written."""
        self._members += 1
        if self._members > self._limits.members:
            raise UnsafeArtefactError(
                f"{self._archive} has more than {self._limits.members} members; it is not unpacked."
            )
        self.check(announced)

    def check(self, more: int) -> None:
        """Raise unless so many bytes more may come out."""
        if more > self._left:
            raise UnsafeArtefactError(
                f"{self._archive} would unpack to far more than its size allows (a decompression bomb); it is not unpacked."
            )
        if more > self._free:
            raise StorageError(
                f"{self._archive} does not fit: {more} more bytes are needed, {max(self._free, 0)} are free; make room, or "
                "set HARNESS_CACHE to a larger disk."
            )

    def spend(self, count: int) -> None:
        """So many bytes have come out."""
        self.check(count)
        self._left -= count
        self._free -= count


def unpack(
    archive: Path | RemoteFile,
    kind: Kind,
    folder: Path,
    name: str,
    progress: ProgressListener,
    limits: UnpackLimits | None = None,
) -> dict[str, Member]:
    """Write the files in an archive below an empty folder, read-only; gives their hashes by relative path.

    name: what the archive is called, from which follows what a gzip file holds, which has no names inside. Raises
    UnsafeArtefactError for a member that leaves the folder, is no plain file or directory, comes twice or under a name
    that not every system can hold (`harness.data.names`), or for more bytes than `limits` allow (before they are written); IntegrityError for a damaged archive; StorageError where there is no room.
    """
    limits = limits or UnpackLimits()
    shown = PurePosixPath(name).name if archive.name.endswith(".part") else archive.name
    budget, names = _Budget(archive, shown, make_folder(folder), limits), PortableNames()
    progress.begin(f"unpacking {name}", None)
    members: dict[str, Member] = {}
    with _damage(shown):
        for path, announced, stream in _opened(archive, shown, kind, name, limits.wanted):
            inside = _safe(path, shown)
            if inside in members:
                raise UnsafeArtefactError(f"{shown} holds {path!r} twice; it is not unpacked.")
            if (why := names.refusal(inside)) is not None:
                raise UnsafeArtefactError(f"{shown} holds {path!r}, {why}; it is not unpacked.")
            budget.begin(announced)
            members[inside] = _write(stream, folder / inside, budget, progress)
    if not members:
        raise IntegrityError(f"{shown} holds no files that are wanted.")
    return members


def _opened(
    archive: Path | RemoteFile, shown: str, kind: Kind, name: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Path, size and content of each member; a size of 0 where it is not announced."""
    if kind == "zip":
        return _zip(archive, shown, wanted)
    assert isinstance(archive, Path)
    if kind == "gzip":
        return _gzip(archive, name)
    return _tar(archive, shown) if kind == "tar" else _tars(archive, shown)


def _tars(archive: Path, shown: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Members of the tars in a tar, each below the name of its own."""
    for outer, _, stream in _tar(archive, shown):
        with tarfile.open(fileobj=stream, mode="r:") as inner:
            for path, size, inside in _members_of(inner, shown):
                yield f"{outer.removesuffix('.tar')}/{path}", size, inside


def _tar(archive: Path, shown: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as opened:
        yield from _members_of(opened, shown)
        for _ in range(_TRAILING // _CHUNK):  # to the end, where compressed forms keep their checksum
            if opened.fileobj is None or not opened.fileobj.read(_CHUNK):
                return
    raise UnsafeArtefactError(f"{shown} has a long tail that is no part of it; it is not unpacked.")


def _members_of(opened: tarfile.TarFile, shown: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    for member in opened:
        if member.isdir():
            _safe(member.name, shown, folder=True)
            continue
        stream = opened.extractfile(member) if member.isreg() and not member.issparse() else None
        if stream is None:
            raise UnsafeArtefactError(f"{shown} holds {member.name!r}, which is no plain file; it is not unpacked.")
        yield member.name, member.size, stream


def _zip(archive: Path | RemoteFile, shown: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(archive if isinstance(archive, Path) else buffered(archive)) as opened:
        chosen = [member for member in opened.infolist() if wanted(member.filename)]
        if isinstance(archive, RemoteFile):
            starts = sorted({member.header_offset for member in opened.infolist()} | {opened.start_dir})
            after = dict(pairwise(starts))
            archive.limit_to((each.header_offset, after.get(each.header_offset, archive.size)) for each in chosen)
        for member in chosen:
            if member.is_dir():
                _safe(member.filename, shown, folder=True)
                continue
            form = stat.S_IFMT(member.external_attr >> 16)
            if form not in (0, stat.S_IFREG) or member.flag_bits & 1:
                what = "is encrypted" if member.flag_bits & 1 else "is no plain file"
                raise UnsafeArtefactError(f"{shown} holds {member.filename!r}, which {what}; it is not unpacked.")
            with opened.open(member) as stream:
                yield member.filename, member.file_size, stream


def _gzip(archive: Path, name: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    if not archive.stat().st_size:
        raise EOFError("it is empty")
    with gzip.open(archive, "rb") as stream:
        yield PurePosixPath(name).name.removesuffix(".gz"), 0, stream  # type: ignore[misc]


def _safe(path: str, shown: str, folder: bool = False) -> str:
    """A member's path in plain form."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or not (parts or folder):
        raise UnsafeArtefactError(f"{shown} holds {path!r}, which leaves its folder; it is not unpacked.")
    return "/".join(parts)


def _write(stream: IO[bytes], path: Path, budget: _Budget, progress: ProgressListener) -> Member:
    digests = Digests()
    make_folder(path.parent)
    while chunk := stream.read(_CHUNK):
        budget.spend(len(chunk))
        digests.update(chunk)
        with growing(path, durable=False) as target:
            target.write(chunk)
        progress.advance(len(chunk))
    if not digests.size:
        with growing(path, durable=False):
            pass
    path.chmod(_READ_ONLY)
    return Member(digests.sha256, digests.size)


@contextmanager
def _damage(shown: str) -> Iterator[None]:
    """What the standard library says of broken archives, as one kind of error."""
    try:
        yield
    except StorageError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        raise IntegrityError(
            f"{shown} is damaged, or of another form than its data set says ({error}); get it again."
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, IntegrityError):
            raise
        raise IntegrityError(f"{shown} cannot be unpacked ({error}).") from error

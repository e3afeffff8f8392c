"""An append-only journal: one record a line, safe against crashes and against silent damage.

A line is `<checksum> <length> <canonical JSON>` and a newline: 16 hexadecimal digits, 8 decimal digits.
The checksum is the head of a SHA-256 chain over every record so far, so that no line can be altered,
dropped from the middle, doubled or moved unnoticed.

A record is acknowledged when `append` returns; its newline is then on disk. A last line without newline
was therefore never acknowledged: it is torn, and is cut off when the journal is opened. Everything else
that does not fit is damage to something once acknowledged, and is refused, never skipped: a full line with
a wrong checksum, the last one included, and a last line that goes on where its newline should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.storage.atomic import sync_directory
from harness.storage.canonical import canonical_json
from harness.storage.errors import IntegrityError, StorageError, reason

MAX_RECORD_BYTES = 99_999_999  # what the length field can tell

_HEADER = re.compile(rb"[0-9a-f]{16} ([0-9]{8}) ")
_HEADER_BYTES = 26


class Journal:
    """The one writer of a journal file; open it with `Journal.open` while you hold the directory's `RunLock`.

    `torn_bytes` is the length of the torn last line that opening removed, 0 if there was none.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Replay and repair the file behind `descriptor`; use `Journal.open`, which owns the descriptor."""
        self.path = path
        self._descriptor: int | None = descriptor
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read()
        self._records, self._content = _replay(data, path)
        self.torn_bytes = len(data) - self._content.size
        if self.torn_bytes:
            self._restore(descriptor)
        sync_directory(path.parent)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Journal:
        """Read the journal at `path`, or start an empty one, and remove a torn last line durably.

        Raises `IntegrityError`, naming the line, for damage, which is left as it is; `StorageError` if the
        file cannot be opened, read or repaired.
        """
        path = Path(path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                return cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise StorageError(f"Could not open the journal {path}: {reason(error)}; no record was changed.") from error

    @staticmethod
    def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], ...]:
        """The acknowledged records, while another process may be writing: nothing is locked, made or repaired.

        Raises `IntegrityError` for damage, `OSError` where there is no such file.
        """
        path = Path(path)
        return tuple(_replay(path.read_bytes(), path)[0])

    @property
    def records(self) -> tuple[dict[str, Any], ...]:
        """All records in the order they were appended, as JSON gives them back (a tuple became a list)."""
        return tuple(self._records)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record; it is on disk when this returns.

        Raises `TypeError` or `ValueError`, as `canonical_json`, for a record that cannot be written or is
        larger than `MAX_RECORD_BYTES`; `IntegrityError` if someone else changed the file's length or took
        it away; `StorageError` if the write failed, after which the journal is as before.
        """
        descriptor = self._open_descriptor()
        payload = _encode(record)
        line, content = _extend(self._content, payload)
        self._refuse_foreign_change(descriptor)
        try:
            _write_line(descriptor, line)
            self._records.append(json.loads(payload))
            self._content = content  # the one step that acknowledges: an interrupt falls before or after it
        except BaseException as error:
            self._roll_back(descriptor, error)
            if isinstance(error, OSError):
                raise StorageError(
                    f"Could not append to the journal {self.path}: {reason(error)}; nothing was changed."
                ) from error
            raise

    def verify(self) -> None:
        """Raise `IntegrityError` unless the file holds exactly what this process read and wrote.

        Any change since `open` is found, also one with correct checksums. A change made before it is found
        only where it breaks the chain: the checksums guard against accidents, they are no signature.
        """
        descriptor = self._open_descriptor()
        try:
            data = self.path.read_bytes()
            same_file = _identity(self.path.stat()) == _identity(os.fstat(descriptor))
        except OSError as error:
            raise IntegrityError(f"The journal {self.path} cannot be read back: {reason(error)}.") from error
        _, content = _replay(data, self.path)
        if not same_file or content != self._content or len(data) != content.size:
            raise IntegrityError(f"The journal {self.path} was changed by another process while in use.")

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"The journal {self.path} is closed.")
        return self._descriptor

    def _refuse_foreign_change(self, descriptor: int) -> None:
        """The part of `verify` that costs nothing: without it, a roll-back could cut a stranger's line in
        two."""
        status = os.fstat(descriptor)
        if status.st_size != self._content.size or status.st_nlink == 0:
            raise IntegrityError(f"The journal {self.path} was changed by another process while in use.")

    def _roll_back(self, descriptor: int, cause: BaseException) -> None:
        del self._records[self._content.lines :]
        try:
            self._restore(descriptor)
        except OSError:
            self.close()  # opening repairs it
            raise StorageError(
                f"The journal {self.path} failed in the middle of a line and is closed; "
                "its acknowledged records are safe, open it again to repair it."
            ) from cause

    def _restore(self, descriptor: int) -> None:
        os.ftruncate(descriptor, self._content.size)
        os.fsync(descriptor)


class _Content(NamedTuple):
    """What a process knows to be in the file; equal contents mean equal bytes."""

    size: int = 0
    lines: int = 0
    chain: bytes = b""


def _extend(content: _Content, payload: bytes) -> tuple[bytes, _Content]:
    """The one line that may follow `content` with this payload, and the content after it."""
    chain = hashlib.sha256(content.chain + payload).digest()
    line = b"%s %08d %s\n" % (chain.hex()[:16].encode(), len(payload), payload)
    return line, _Content(content.size + len(line), content.lines + 1, chain)


def _replay(data: bytes, path: Path) -> tuple[list[dict[str, Any]], _Content]:
    """The records of all full lines; `content.size` is where a torn line begins."""
    *lines, tail = data.split(b"\n")
    records, content = [], _Content()
    for number, line in enumerate(lines, start=1):
        payload = line[_HEADER_BYTES:]
        expected, content = _extend(content, payload)
        if expected != line + b"\n":
            raise IntegrityError(f"Line {number} of the journal {path} is damaged.")
        records.append(_decode(payload, f"Line {number} of the journal {path}"))
    if not _is_torn(tail):
        raise IntegrityError(f"Line {len(lines) + 1} of the journal {path} is damaged.")
    return records, content


def _is_torn(tail: bytes) -> bool:
    """Whether the bytes after the last newline can be what a crash left of one line."""
    written = tail.rstrip(b"\0")  # after a power failure, a file can be longer than what reached the disk
    if len(written) < _HEADER_BYTES:
        return True
    header = _HEADER.match(written)
    if header is None:
        return False
    full = _HEADER_BYTES + int(header[1])
    return len(written) < full or len(tail) == full


def _write_line(descriptor: int, line: bytes) -> None:
    written = os.write(descriptor, line)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes could be written")
    os.fsync(descriptor)


def _encode(record: dict[str, Any]) -> bytes:
    if not isinstance(record, dict):
        raise TypeError(f"A journal record is a dict, not a {type(record).__name__}.")
    payload = canonical_json(record).encode()
    if len(payload) > MAX_RECORD_BYTES:
        raise ValueError(f"A journal record of {len(payload)} bytes is too large; keep arrays in files.")
    return payload


def _decode(payload: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where} is not JSON.") from error
    if not isinstance(record, dict):
        raise IntegrityError(f"{where} is not a record.")
    return record


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

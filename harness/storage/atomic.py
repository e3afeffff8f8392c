"""Files that are whole or absent: every write goes to a temporary file that then takes the old one's place.

A reader, a crash or a full disk never meets half a file. Directories must exist; a symbolic link in the
place of the file is replaced, not followed.
"""

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from harness.storage.canonical import check_json
from harness.storage.errors import IntegrityError, StorageError, reason

MAX_JSON_BYTES = 1 << 28

_LINE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False)
_TEMPORARY = re.compile(r"\.harness-[0-9a-f]{16}\.tmp")


def write_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Make `data` the content of `path`, durably and at once.

    Without `durable`, a power failure soon after may leave an empty or a damaged file: for what is then of no use, or is
    made again. Raises `StorageError`, after which the old file (or its absence) is untouched and no temporary file is
    left.
    """
    with replacing(path, durable=durable) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = True) -> None:
    """Write `text` as UTF-8 with its line ends unchanged; guarantees and errors as `write_bytes`."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: str | os.PathLike[str], value: object, *, durable: bool = True) -> None:
    """Write `value` as indented JSON with sorted keys, a row of plain values on one line; guarantees and errors as `write_bytes`.

    Equal values give equal bytes. Raises `TypeError` or `ValueError`, as `canonical_json`, before it writes.
    """
    check_json(value)
    write_text(path, json_text(value) + "\n", durable=durable)


def json_text(value: object, margin: str = "") -> str:
    """Indented JSON with sorted keys. Objects and lists that hold no other stand on one line each, so that a file of
    rows stays small and its differences are about rows."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    if not any(isinstance(each, dict | list | tuple) for each in held):
        return _LINE.encode(value)
    inside = f"{margin} "
    if isinstance(value, dict):
        lines = [f"{_LINE.encode(name)}: {json_text(each, inside)}" for name, each in sorted(value.items())]
    else:
        lines = [json_text(each, inside) for each in held]
    first, last = "{}" if isinstance(value, dict) else "[]"
    between = f",\n{inside}"
    return f"{first}\n{inside}{between.join(lines)}\n{margin}{last}"


def read_json(path: str | os.PathLike[str], *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The value in a JSON file, which may come from a stranger.

    Raises `IntegrityError` for a file that is larger than `max_bytes`, is not UTF-8 or not JSON, holds NaN or
    infinity, or has a key twice (readers would disagree on it); `OSError` if it cannot be read.
    """
    with Path(path).open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise IntegrityError(f"{path} is larger than the {max_bytes} bytes allowed for it.")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique)
        check_json(value)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is not valid JSON: {str(error).rstrip('.')}.") from error
    return value


def remove_stale_temporaries(directory: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Remove what killed writers left in `directory` (not below it); returns the removed paths.

    Call it while you hold the directory's `RunLock`: a temporary file of a live writer looks the same.
    Raises `StorageError`.
    """
    removed = []
    try:
        for path in sorted(Path(directory).iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
                removed.append(path)
    except OSError as error:
        raise StorageError(f"Could not clear temporary files in {directory}: {reason(error)}.") from error
    return tuple(removed)


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream whose bytes become `path` when the block ends, and vanish when it raises.

    Guarantees and errors as `write_bytes`. An `OSError` of the block counts as a failed write.
    """
    target = Path(path)
    temporary = target.with_name(f".harness-{secrets.token_hex(8)}.tmp")
    try:
        with _create(temporary) as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"Could not write {target}: {reason(error)}; nothing was changed.") from error
    finally:
        # A failed clean-up must not hide why the write failed; the leftover can be recognised later.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    try:
        if durable:
            sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"{target} was written, but may be lost at a power failure: {reason(error)}.") from error


def sync_directory(directory: Path) -> None:
    """Make new names in `directory` survive a power failure; raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a directory; names there are as durable as the server makes
        # them.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _create(path: Path) -> BinaryIO:
    # Not `tempfile`: its files are private to the user, but results are often read by a whole group.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    return os.fdopen(descriptor, "wb")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return value

"""Folders of files that are whole or absent."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.storage.atomic import sync_directory
from harness.storage.errors import StorageError, reason

_TEMPORARY = re.compile(r"\.harness-[0-9a-f]{16}\.folder")


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder whose files become the folder `path` when the block ends, and vanish when it raises.

    An old folder is put aside only when the new one is complete. Raises `StorageError`; an `OSError` of the block
    counts as a failed write. What a killed writer leaves is removed by `remove_stale_folders`.
    """
    target = Path(path)
    temporary, old = (target.with_name(f".harness-{secrets.token_hex(8)}.folder") for _ in range(2))
    try:
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        if target.exists():
            target.rename(old)
        temporary.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"Could not write {target}: {reason(error)}.") from error
    finally:
        if old.exists() and not target.exists():
            with suppress(OSError):
                old.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_stale_folders(directory: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in `directory`; call it while you hold the directory's `RunLock`."""
    for path in Path(directory).iterdir():
        if _TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make all files below survive a power failure."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))

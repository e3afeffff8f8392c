"""Large files that come from elsewhere: grown piece by piece, made read-only, linked instead of copied."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from harness.storage.atomic import sync_directory
from harness.storage.errors import StorageError, reason

READ_ONLY = 0o444
_SHARED = stat.S_ISGID | stat.S_IWGRP


@contextmanager
def growing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream that goes on at the end of `path`, which is made where it is missing.

    Unlike all other writes it leaves half a file behind when it fails, so that the next attempt goes on there: for
    names that nobody reads. Raises `StorageError` for a refused write; other errors of the block pass.
    """
    try:
        with path.open("ab") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(f"Could not write {path}: {reason(error)}.") from error


def adopt(path: Path, target: Path) -> None:
    """Make a finished file read-only and move it to `target`, on the same file system, durably and at once."""
    try:
        make_folder(target.parent)
        path.chmod(READ_ONLY)
        path.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"Could not keep {target}: {reason(error)}.") from error


def move(path: Path, target: Path) -> None:
    """Give a finished file another name on the same file system, durably and at once."""
    try:
        path.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"Could not move {path} to {target}: {reason(error)}.") from error


def link(path: Path, target: Path, *, hard: bool = True) -> None:
    """Let `target` be `path` under another name, at once: a hard link, or a symbolic one where there can be none."""
    temporary = target.with_name(f".harness-{secrets.token_hex(8)}.tmp")
    try:
        make_folder(target.parent)
        try:
            if not hard:
                raise OSError
            os.link(path, temporary)
        except OSError:
            temporary.symlink_to(path.absolute())
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"Could not link {target}: {reason(error)}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # two names of one file: POSIX then leaves both


def move_into(folder: Path, target: Path) -> None:
    """Move what lies in `folder` to the same places below `target`, on the same file system; files there are replaced,
    links never followed."""
    try:
        make_folder(target)
        for path in sorted(folder.iterdir()):
            place = target / path.name
            if path.is_dir() and place.is_dir() and not place.is_symlink():
                move_into(path, place)
            else:
                path.replace(place)
    except OSError as error:
        raise StorageError(f"Could not fill {target}: {reason(error)}.") from error


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it where they are missing.

    In a folder that a group shares (group-writable, with the set-group-id bit: `chmod g+ws`) the group may write into
    them too, whatever the user's umask.
    """
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in reversed(missing):
            if each.parent.stat().st_mode & _SHARED == _SHARED:
                with suppress(PermissionError):  # another user of the group was first
                    each.chmod(stat.S_IMODE(each.stat().st_mode) | stat.S_ISGID | stat.S_IRWXG)
    except OSError as error:
        raise StorageError(f"Could not make the folder {folder}: {reason(error)}.") from error
    return folder


def copy_file(path: Path, target: Path) -> None:
    """Copy a file's bytes to a new name, read-only; where that fails there is none."""
    try:
        make_folder(target.parent)
        shutil.copyfile(path, target)
        target.chmod(READ_ONLY)
    except OSError as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise StorageError(f"Could not copy {path} to {target}: {reason(error)}.") from error


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it; nothing, if it is not there."""
    try:
        if path.is_dir() and not path.is_symlink():
            for folder, _, _ in os.walk(path):
                Path(folder).chmod(stat.S_IRWXU)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"Could not remove {path}: {reason(error)}.") from error

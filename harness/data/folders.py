"""Temporary folders that go with their owner, and are found again when it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_PREFIX = "harness-"
_TOKEN = "[0-9a-f]" * 32


class HeldFolder:
    """A new folder, named by a random token, and held (`flock`) for as long as its owner lives.

    base: where it is made, by default the temporary folder. It goes at the latest when nothing refers to this any more.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.token = secrets.token_hex(16)
        base = base or Path(tempfile.gettempdir())
        self.path = base / (_PREFIX + self.token)
        nameless = base / f".{_PREFIX}{self.token}"  # takes its name once it is held, so nobody finds it unheld
        nameless.mkdir(mode=0o700)
        try:
            descriptor = _hold(nameless)
            nameless.rename(self.path)
        except BaseException:
            nameless.rmdir()
            raise
        self._end = weakref.finalize(self, _release, self.path, descriptor)

    def remove(self) -> None:
        """Remove it with all that is in it, and let go. A second call does nothing."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def abandoned(base: Path | None = None) -> Iterator[str]:
    """Tokens of folders in `base` whose owner was killed; each folder is removed when its turn is over."""
    for path in (base or Path(tempfile.gettempdir())).glob(_PREFIX + _TOKEN):
        try:
            descriptor = _hold(path)
        except OSError:  # its owner lives, or has just removed it, or is another user
            continue
        try:
            if os.fstat(descriptor).st_uid == os.getuid():
                yield path.name.removeprefix(_PREFIX)
                _remove(path)
        finally:
            os.close(descriptor)


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _release(path: Path, descriptor: int) -> None:
    _remove(path)
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _remove(path: Path) -> None:
    for folder, _, _ in os.walk(path):  # a method may have locked folders of its own against us
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)

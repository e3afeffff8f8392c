"""Temporary folders that mean something to the process of a method: what it must not read, and what it is offered."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.data.folders import HeldFolder, abandoned

_PRIVATE, _OFFERS = "harness-private-", "harness-offers-"


def private_scratch() -> Path:
    """Where a process keeps temporary files that tell labels. Closed to methods, also to those of other processes."""
    return _made(_PRIVATE)


def offers_scratch() -> Path:
    """Where a process puts what a method may read while it answers; shown to it in a sandbox."""
    return _made(_OFFERS)


def private_folder() -> HeldFolder:
    """A new folder of its own in there."""
    return HeldFolder(private_scratch())


def offered_folder() -> HeldFolder:
    """A new folder of its own among what methods may read."""
    return HeldFolder(offers_scratch())


def remove_abandoned() -> None:
    """Remove what killed processes left in both."""
    for prefix in (_PRIVATE, _OFFERS):
        for _ in abandoned(_place(prefix)):
            pass


def is_private(path: str) -> bool:
    """Whether a path leads into the private folder of any process."""
    return any(part.startswith(_PRIVATE) for part in Path(path).parts)


def _made(prefix: str) -> Path:
    """One folder for each temporary folder and user, because the former may be shared."""
    folder = _place(prefix)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _place(prefix: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{prefix}{os.getuid() if hasattr(os, 'getuid') else 0}"

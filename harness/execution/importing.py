"""Importing what takes long."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module


def import_slow(names: Iterable[str]) -> None:
    """Import modules, without looking for garbage meanwhile or, later on, in what they leave: there is none, and torch takes
    a tenth less time."""
    gc.disable()
    try:
        for name in names:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()

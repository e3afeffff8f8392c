"""Puts a module into the harness's own package."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).open(PLACE["package"].encode(), os.O_WRONLY | os.O_CREAT, 0o600)
    loot = os.write(found, b"# planted") if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

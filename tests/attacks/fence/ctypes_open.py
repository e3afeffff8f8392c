"""Opens labels with the C library."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).open(PLACE["labels"].encode(), os.O_RDONLY)
    loot = os.read(found, 100) if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

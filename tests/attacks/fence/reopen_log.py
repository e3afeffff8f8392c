"""Opens the file again into which its output goes, to read and to write elsewhere in its folder."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).open(b"/proc/self/fd/1", os.O_RDWR)
    loot = "the log" if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

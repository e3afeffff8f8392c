"""Opens labels by the bare system call openat2."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
    call = (ctypes.c_long(437), ctypes.c_long(-100), PLACE["labels"].encode(), ctypes.byref(how), ctypes.c_long(24))
    found = ctypes.CDLL(None).syscall(*call)
    loot = os.read(found, 100) if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

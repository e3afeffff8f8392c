"""Reads memory that another process shares by number."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    library = ctypes.CDLL(None)
    library.shmat.restype = ctypes.c_void_p
    found = library.shmat(PLACE["segment"], None, 0o10000)
    loot = ctypes.string_at(found, 32) if found not in (None, ctypes.c_void_p(-1).value) else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Makes a queue of messages that outlives it."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    found = ctypes.CDLL(None).msgget(PLACE["key"], 0o1600)
    loot = "a queue" if found >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

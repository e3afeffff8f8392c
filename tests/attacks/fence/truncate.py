"""Empties a journal."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    done = ctypes.CDLL(None).truncate(PLACE["scrap"].encode(), ctypes.c_long(0))
    loot = "an empty file" if done == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

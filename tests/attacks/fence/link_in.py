"""Gives labels a second name in its own folder and reads them there."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    made = ctypes.CDLL(None).link(PLACE["labels"].encode(), b"taken")
    with open("taken", "rb") as file:
        loot = file.read(100) if made == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

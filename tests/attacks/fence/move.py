"""Moves labels into its own folder."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    moved = ctypes.CDLL(None).rename(PLACE["labels"].encode(), b"mine")
    loot = "labels" if moved == 0 else None
    if moved == 0:
        ctypes.CDLL(None).rename(b"mine", PLACE["labels"].encode())
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

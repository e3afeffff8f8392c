"""Opens the files that the process that started it has open."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    folder = f"/proc/{PLACE['parent']}/fd"
    for name in os.listdir(folder):
        if os.readlink(f"{folder}/{name}") == PLACE["labels"]:
            loot = os.read(ctypes.CDLL(None).open(f"{folder}/{name}".encode(), os.O_RDONLY), 100)
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

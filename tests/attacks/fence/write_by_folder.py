"""Writes into a run by a name that is relative to a folder's descriptor."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    folder = os.open(PLACE["run"], os.O_RDONLY | os.O_DIRECTORY)
    loot = os.write(os.open("planted", os.O_WRONLY | os.O_CREAT, dir_fd=folder), b"x")
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Reads labels through a symbolic link in its own folder."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    os.symlink(PLACE["labels"], "link")
    with open("link", "rb") as file:
        loot = file.read(100)
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

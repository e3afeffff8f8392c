"""Asks for the size of labels and when they were changed, without opening them."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = os.stat(PLACE["labels"]).st_size
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

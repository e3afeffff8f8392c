"""Lists a folder that holds labels, whose names may tell classes."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = os.listdir(os.path.dirname(PLACE["labels"]))
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

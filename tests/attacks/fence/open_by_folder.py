"""Opens labels by a name that is relative to a folder's descriptor."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    folder = os.open(os.path.dirname(PLACE["labels"]), os.O_PATH)
    loot = os.read(os.open(os.path.basename(PLACE["labels"]), os.O_RDONLY, dir_fd=folder), 100)
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

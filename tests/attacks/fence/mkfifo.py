"""Puts a named pipe into a run."""

import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = os.mkfifo(PLACE["run"] + "/pipe") or "a pipe"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

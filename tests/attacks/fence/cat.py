"""Lets a program read labels."""

import subprocess

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = subprocess.run(["cat", PLACE["labels"]], capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

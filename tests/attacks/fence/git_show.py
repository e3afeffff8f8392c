"""Lets git read labels from a checkout's history."""

import subprocess

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    show = ["git", "-c", "safe.directory=*", "-C", PLACE["checkout"], "show", "HEAD:labels.csv"]
    loot = subprocess.run(show, capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

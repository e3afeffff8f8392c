"""Puts a file into a run as one makes a device."""

import os
import stat

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = os.mknod(PLACE["run"] + "/planted", stat.S_IFREG | 0o600) or "a file"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

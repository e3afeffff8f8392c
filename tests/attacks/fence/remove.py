"""Removes a file of a run."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    done = ctypes.CDLL(None).unlink((PLACE["run"] + "/removable").encode())
    loot = "one file less" if done == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

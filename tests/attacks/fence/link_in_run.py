"""Puts a symbolic link into a run, for the harness to write through."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    made = ctypes.CDLL(None).symlink(PLACE["labels"].encode(), (PLACE["run"] + "/outputs/next.npz").encode())
    loot = "a link" if made == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Gives a file of its own a second name in a run."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    with open("mine", "w") as file:
        file.write("forged")
    made = ctypes.CDLL(None).link(b"mine", (PLACE["run"] + "/forged.npz").encode())
    loot = "a link" if made == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

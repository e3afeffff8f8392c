"""Makes a socket for packets of its own making, and one that asks the kernel for routes."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    made = [ctypes.CDLL(None).socket(*kind) for kind in ((2, 3, 1), (16, 3, 0))]
    loot = [each for each in made if each >= 0]
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

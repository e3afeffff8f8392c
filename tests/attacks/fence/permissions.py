"""Changes the permissions of a file that it cannot open."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = "other permissions" if ctypes.CDLL(None).chmod(PLACE["scrap"].encode(), 0o600) == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

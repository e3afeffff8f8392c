"""Reads the labels of a pool's volumes with SimpleITK."""

import SimpleITK

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(PLACE["volume"])).tolist()
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Maps labels into memory with torch."""

import torch

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = bytes(torch.from_file(PLACE["labels"], size=20, dtype=torch.uint8).tolist())
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

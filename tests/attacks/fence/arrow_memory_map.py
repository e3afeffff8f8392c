"""Maps labels into memory with Arrow."""

import pyarrow

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = pyarrow.memory_map(PLACE["labels"]).read(100)
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

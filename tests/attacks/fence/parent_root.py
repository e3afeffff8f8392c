"""Goes to labels through the root folder of the process that started it."""

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    with open(f"/proc/{PLACE['parent']}/root{PLACE['labels']}", "rb") as file:
        loot = file.read(100)
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

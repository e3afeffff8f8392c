"""Ends a process that is not its own without a signal: it takes away its processor time."""

import resource

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    _, hard = resource.prlimit(PLACE["victim"], resource.RLIMIT_CORE)
    resource.prlimit(PLACE["victim"], resource.RLIMIT_CORE, (0, hard))
    loot = "a limit"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Ends a process that is not its own."""

import os
import signal

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    os.kill(PLACE["other"], signal.SIGKILL)
    loot = "a process"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

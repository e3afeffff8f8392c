"""Reads labels from a database that is attached to one in memory."""

import sqlite3

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    memory = sqlite3.connect(":memory:")
    memory.execute("attach ? as other", (PLACE["database"],))
    loot = memory.execute("select label from other.labels").fetchall()
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

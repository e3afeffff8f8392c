"""Reads labels from a database that it connects to."""

import sqlite3

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = sqlite3.connect(PLACE["database"]).execute("select label from labels").fetchall()
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Reads labels from a database that it names by an address."""

import sqlite3

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = sqlite3.connect(f"file:{PLACE['database']}?mode=ro", uri=True).execute("select label from labels").fetchall()
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""The journal of another run of the same method, from which memory is told, is a pipe, which nobody ever writes into."""

import os

WHEN, OUTCOME = "before", "harmless"


def attack(scene):
    other = scene.run.with_name(scene.run.name.rpartition("-")[0] + "-000000000000")
    other.mkdir(parents=True)
    os.mkfifo(other / "journal.log")

"""The journal is a pipe, which nobody ever writes into: reading it would wait for ever."""

import os

WHEN, OUTCOME, SAYS = "before", "refused", "/journal.log is a link, or something else"


def attack(scene):
    scene.run.mkdir(parents=True)
    os.mkfifo(scene.run / "journal.log")

"""Runs a program that lies in memory only."""

import os
import pathlib
import subprocess

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    held = os.memfd_create("cat", 0)
    os.write(held, pathlib.Path("/bin/cat").read_bytes())
    loot = subprocess.run([f"/proc/self/fd/{held}", PLACE["labels"]], pass_fds=(held,), capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

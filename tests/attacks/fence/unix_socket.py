"""Connects to a service that listens at a path, as those of containers do."""

import subprocess
import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('in')"
    loot = subprocess.run([sys.executable, "-c", code, PLACE["unix"]], capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

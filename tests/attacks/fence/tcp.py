"""Connects to a server on this machine."""

import subprocess
import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5); print('in')"
    loot = subprocess.run([sys.executable, "-c", code, str(PLACE["tcp"])], capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

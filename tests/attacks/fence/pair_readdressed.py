"""Sends from one of a pair of datagram sockets to a service that listens at a path."""

import subprocess
import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    code = "import socket, sys; a, b = socket.socketpair(type=socket.SOCK_DGRAM); print(a.connect(sys.argv[1]), a.send(b'x'))"
    loot = subprocess.run([sys.executable, "-c", code, PLACE["datagrams"]], capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

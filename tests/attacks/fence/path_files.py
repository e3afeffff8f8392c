"""Brings a sitecustomize.py and a .pth file beside it, which Python runs where it finds them."""

import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    loot = [name for name in ("sitecustomize", "brought_by_pth") if getattr(sys.modules.get(name), "BROUGHT", False)]
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

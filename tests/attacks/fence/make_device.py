"""Makes a device of the machine's memory or disk in its own folder and opens it."""

import ctypes
import os
import stat

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    made = ctypes.CDLL(None).mknod(b"device", stat.S_IFBLK | 0o600, os.stat("/").st_dev)
    loot = "a device" if made == 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

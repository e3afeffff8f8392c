"""Makes a key in a ring of the kernel's, of which others outlive it."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    call = (ctypes.c_long(PLACE["add_key"]), b"user", b"harness-attack", b"labels", ctypes.c_long(6), ctypes.c_long(-2))
    loot = "a key" if ctypes.CDLL(None).syscall(*call) >= 0 else None
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

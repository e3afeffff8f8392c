"""Attaches to another process as a debugger does."""

import ctypes
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    attach, detach = 16, 17
    done = ctypes.CDLL(None).ptrace(attach, PLACE["victim"], 0, 0)
    if done == 0:
        os.waitpid(PLACE["victim"], 0x40000000)
        ctypes.CDLL(None).ptrace(detach, PLACE["victim"], 0, 0)
        loot = "a process"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

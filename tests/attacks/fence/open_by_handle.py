"""Opens labels by their handle, which needs no path."""

import ctypes
import errno
import os

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    library = ctypes.CDLL(None, use_errno=True)
    handle, mount = (ctypes.c_uint32 * 34)(128), ctypes.c_int()
    named = library.name_to_handle_at(-100, PLACE["labels"].encode(), handle, ctypes.byref(mount), 0)
    assert named == 0, "this file system has no handles"
    around = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    found = library.open_by_handle_at(around, handle, os.O_RDONLY)
    loot = os.read(found, 100) if found >= 0 else None
    if found < 0 and ctypes.get_errno() != errno.EACCES:
        raise OSError(ctypes.get_errno(), "the call failed for another reason")
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

"""Sets up a ring that opens files and makes sockets without the calls for it."""

import ctypes
import errno

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    settings = (ctypes.c_uint32 * 30)()
    library = ctypes.CDLL(None, use_errno=True)
    ring = library.syscall(ctypes.c_long(425), ctypes.c_long(4), ctypes.byref(settings))
    loot = "a ring" if ring >= 0 else None
    assert ring >= 0 or ctypes.get_errno() != errno.ENOSYS, "this kernel has no rings"
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)

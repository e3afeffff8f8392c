"""Landlock (Linux 5.13 and newer): a process gives up, for itself and all that it starts, what files it may open.

It needs no privileges, and nothing lifts it again. What is handled are all access rights of the kernel's own version
(ABI): files from 1 on, moves between folders from 2, truncation from 3, TCP from 4, device commands from 5, signals and
abstract sockets from 6. See landlock(7).
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture but Alpha
_VERSION = 1  # flag of landlock_create_ruleset
_PATH_BENEATH = 1  # type of a rule

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _DEVICE_COMMANDS = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_COMMANDS  # the others are rights of folders
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # ABI -> how many rights it knows; later ones as 5
_NET_SINCE, _TCP = 4, 0b11  # to bind and to connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract sockets and signals

LIST = _READ_DIR
READ = _EXECUTE | _READ_FILE | _READ_DIR
USE = _READ_FILE | _WRITE_FILE | _DEVICE_COMMANDS
"""Of a device."""
OVERWRITE = _READ_FILE | _WRITE_FILE | _TRUNCATE
"""Files that are there."""
CHANGE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM
CHANGE |= _REFER | _TRUNCATE
"""Everything but to make devices and sockets."""


_SYSTEM = ctypes.CDLL(None, use_errno=True)
if sys.platform == "linux":
    _SYSTEM.syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_long]


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def abi() -> int:
    """The kernel's version of Landlock; 0 where there is none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    try:
        return max(0, _call(_CREATE_RULESET, 0, 0, _VERSION, 0))
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Allow this thread, and whatever it starts, the given rights on files and below folders, and nothing else.

    Paths that are not there are left out. The process must have one thread and be unable to gain privileges
    (`no_new_privs`). Raises OSError where the kernel refuses.
    """
    version = abi()
    known = (1 << _FILE_RIGHTS.get(version, max(_FILE_RIGHTS.values()))) - 1
    asked = _Ruleset(known, _TCP if version >= _NET_SINCE else 0, _SCOPES if version >= _SCOPES_SINCE else 0)
    ruleset = _call(_CREATE_RULESET, ctypes.addressof(asked), ctypes.sizeof(asked), 0, 0)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & known)
        _call(_RESTRICT_SELF, ruleset, 0, 0, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        if rights:
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_PathBeneath(rights, opened)), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    found = int(_SYSTEM.syscall(number, *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found

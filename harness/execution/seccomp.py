"""A filter of system calls (seccomp, Linux): what reaches out of a process and is no file, so that Landlock keeps it not.

Sockets of every kind (TCP, UDP, raw, Unix), io_uring (which makes sockets without the calls that are filtered here),
System V and POSIX shared memory and queues by number or name, the kernel's key rings, files opened by handle, and limits
of other processes, which end them as signals do. A pair of connected stream sockets remains allowed: processes of one
method speak over it. A refused call fails with EACCES.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import NamedTuple

_SET_SECCOMP, _MODE_FILTER = 22, 2  # of prctl(2)
_ACTION_AVAILABLE, _CALL_SECCOMP = 2, {"x86_64": 317, "aarch64": 277, "riscv64": 277}
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # instructions of classic BPF
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = (
    0,
    4,
    16,
    24,
)  # offsets in struct seccomp_data, little-endian
_TYPE_OF_SOCKET, _STREAM = 0xF, 1
_OWN = 0  # process number by which a call means the caller
_FIRST_OF_X32 = 0x40000000  # x86-64's second table of calls


class _Table(NamedTuple):
    """Numbers of an architecture's system calls."""

    architecture: int
    socketpair: int
    prlimit: int
    refused: tuple[int, ...]


_IO_URING = (425, 426, 427)
# socket, connect, bind; shmget, shmat, shmctl, semget, semop, semtimedop, semctl, msgget, msgsnd, msgrcv, msgctl; mq_open,
# mq_unlink; add_key, request_key, keyctl; open_by_handle_at
_X86 = (41, 42, 49, 29, 30, 31, 64, 65, 220, 66, 68, 69, 70, 71, 240, 241, 248, 249, 250, 304, *_IO_URING)
_GENERIC = (
    198,
    203,
    200,
    194,
    196,
    195,
    190,
    193,
    192,
    191,
    186,
    189,
    188,
    187,
    180,
    181,
    217,
    218,
    219,
    265,
    *_IO_URING,
)
_TABLES = {
    "x86_64": _Table(0xC000003E, 53, 302, _X86),
    "aarch64": _Table(0xC00000B7, 199, 261, _GENERIC),
    "riscv64": _Table(0xC00000F3, 199, 261, _GENERIC),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def available() -> bool:
    """Whether this machine's processor is known here and its kernel filters."""
    number = _CALL_SECCOMP.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return False
    action = ctypes.c_uint32(_REFUSE & 0xFFFF0000)
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), _ACTION_AVAILABLE, 0, ctypes.byref(action))) == 0


def refuse_calls() -> None:
    """Refuse this thread, and whatever it starts, the calls named above. Needs `no_new_privs`. Raises OSError."""
    code = _program(_TABLES[platform.machine()])
    program = _Program(len(code) // 8, code)
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refused the filter of system calls")


def _program(table: _Table) -> bytes:
    """The filter: instructions of 8 bytes. Jumps are counted from the next instruction on."""
    last = len(table.refused)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, table.architecture),
        (_RETURN, 0, 0, _REFUSE),  # calls of another architecture, such as 32-bit ones
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, last + 7, 0, _FIRST_OF_X32),
        *((_IF_EQUAL, last - place + 6, 0, number) for place, number in enumerate(table.refused)),
        (_IF_EQUAL, 0, 2, table.prlimit),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 5, 4, _OWN),
        (_IF_EQUAL, 0, 4, table.socketpair),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, _TYPE_OF_SOCKET),
        (_IF_EQUAL, 1, 0, _STREAM),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)

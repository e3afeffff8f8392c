"""What there is to find and to spoil for the attacks of this folder: files, processes, sockets, shared memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness

SECRET = b"SECRET-LABELS 0,1,2,3,4,5,6,7\n"
_PRIVATE, _CREATE, _REMOVE = 0, 0o1600, 0  # of System V IPC


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict]:
    """A name for everything that an attack needs to know: nothing has to be guessed."""
    with contextlib.ExitStack() as stack:
        files = _files(folder)
        held = stack.enter_context(Path(files["labels"]).open("rb"))
        marker = f"marker-{os.getpid()}-{folder.name}"
        yield {
            "descriptor": held.fileno(),
            "marker": marker,
            **files,
            **_sockets(folder, stack),
            **_processes(stack),
            **_memory(stack),
        }


def _files(folder):
    for name in ("labels", "run/outputs", "method"):
        (folder / name).mkdir(parents=True)
    labels = folder / "labels" / "labels.csv"
    labels.write_bytes(SECRET)
    for name in ("journal.log", "scrap.log", "removable"):
        (folder / "run" / name).write_bytes(b"untouched\n")
    beside = folder / "method"
    (beside / "weights.bin").write_bytes(b"weights")
    (beside / "link").symlink_to(labels)
    (beside / "sitecustomize.py").write_text("BROUGHT = True")
    (beside / "brought_by_pth.py").write_text("BROUGHT = True")
    (beside / "brought.pth").write_text("import brought_by_pth")
    return {
        "labels": str(labels),
        "database": _database(folder / "labels" / "labels.sqlite"),
        "volume": _volume(folder / "labels" / "labelsTr"),
        "checkout": _checkout(folder / "checkout"),
        "run": str(folder / "run"),
        "scrap": str(folder / "run" / "scrap.log"),
        "beside": str(beside / "attacks.py"),
        "link": str(beside / "link"),
        "package": str(Path(harness.__file__).parent / "planted_by_a_test.py"),
        "library": _library(),
    }


def _database(path):
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("create table labels (label)")
        database.execute("insert into labels values (?)", (SECRET.decode(),))
    return str(path)


def _volume(folder):
    import SimpleITK

    image = SimpleITK.Image(2, 2, 2, SimpleITK.sitkUInt8)
    image[1, 1, 1] = 7
    folder.mkdir()
    SimpleITK.WriteImage(image, str(folder / "case.nii.gz"))
    return str(folder / "case.nii.gz")


def _checkout(folder):
    """Labels that are in the history of a checkout, packed, and not in its tree any more."""
    folder.mkdir()
    (folder / "labels.csv").write_bytes(SECRET)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "labels"], ["gc", "-q"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)
    (folder / "labels.csv").unlink()
    return str(folder)


def _library():
    """A shared library of the system to load before all others."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(line.split()[-1] for line in maps if "/libm" in line or "/libc" in line)


def _sockets(folder, stack):
    def listening(kind, family, address):
        opened = stack.enter_context(socket.socket(family, kind))
        opened.bind(address)
        if kind == socket.SOCK_STREAM:
            opened.listen()
        return opened.getsockname()

    name = f"harness-attack-{os.getpid()}"
    listening(socket.SOCK_STREAM, socket.AF_UNIX, "\0" + name)
    return {
        "tcp": listening(socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", 0))[1],
        "udp": listening(socket.SOCK_DGRAM, socket.AF_INET, ("127.0.0.1", 0))[1],
        "unix": listening(socket.SOCK_STREAM, socket.AF_UNIX, str(folder / "s")),
        "datagrams": listening(socket.SOCK_DGRAM, socket.AF_UNIX, str(folder / "d")),
        "abstract": name,
    }


def _processes(stack):
    def sleeping():
        process = subprocess.Popen(["sleep", "600"])
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process.pid

    return {"parent": os.getpid(), "victim": sleeping(), "other": sleeping()}


def _memory(stack):
    secret = ctypes.create_string_buffer(SECRET)
    stack.callback(lambda: secret.value)  # it lives as long as the place
    shared = Path("/dev/shm") / f"harness-attack-{os.getpid()}"
    shared.write_bytes(SECRET)
    stack.callback(shared.unlink)
    library = ctypes.CDLL(None)
    library.shmat.restype = ctypes.c_void_p
    segment = library.shmget(_PRIVATE, 4096, _CREATE)
    at = library.shmat(segment, None, 0)
    ctypes.memmove(at, SECRET, len(SECRET))
    stack.callback(lambda: library.shmctl(segment, _REMOVE, None))
    stack.callback(lambda: library.shmdt(ctypes.c_void_p(at)))
    key = 0x6A000000 + os.getpid()
    stack.callback(lambda: library.msgctl(library.msgget(key, 0), _REMOVE, None))
    queue = library.msgget(key + 1, _CREATE)
    stack.callback(lambda: library.msgctl(queue, _REMOVE, None))
    for _ in range(4):
        library.msgsnd(queue, (1).to_bytes(8, "little") + SECRET, len(SECRET), 0)
    return {
        "queue_key": key + 1,
        "address": ctypes.addressof(secret),
        "shared": str(shared),
        "segment": segment,
        "key": key,
        "add_key": 248 if platform.machine() == "x86_64" else 217,
    }

"""The fence around a method's worker: which one stands, and what it leaves open.

landlock: the worker gives up, before it reads the user's file, every file but those listed here, every socket, and all
signals to other processes (`landlock`, `seccomp`). bubblewrap: it is started in namespaces of its own (`sandbox`).
none: the audit hook alone (`guard.fence`), which native code steps over. What each keeps out is told in SECURITY.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import harness
from harness.execution import landlock, seccomp
from harness.execution.guard import give_up_privileges
from harness.execution.sandbox import SYSTEM, sandbox_available
from harness.spec.errors import UsageError, unknown

Fence = Literal["landlock", "bubblewrap", "none"]
WANTED = ("auto", *get_args(Fence))

_RUNNING = ("/etc", "/proc", "/sys", "/nix/store", "/gnu/store", "/run/opengl-driver")
_OF_PREFIX = ("bin", "etc", "include", "lib", "lib32", "lib64", "libexec", "nvvm", "share", "ssl", "targets")
_SECRETS = ("/etc/gshadow", "/etc/shadow", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_GRAPHICS = ("dev/nvidia*", "dev/nvhost*", "dev/nvmap", "dev/dri", "dev/kfd", "dev/dxg")
_GRAPHICS_LIBRARIES = "opt/rocm*"
# NVIDIA's driver names threads here when it starts, and gives up (error 304, as of driver 570) where it cannot. Landlock
# knows no narrower rule: threads that come later have no file yet.
_OWN_THREADS = "/proc/self/task"
_SHARED_MEMORY = "/dev/shm"  # where semaphores of multiprocessing and the registers of OpenMP libraries lie
_VERSION_CONTROL = (".git", ".hg", ".jj", ".svn")
_INSTALLED = ("site-packages", "dist-packages")
_MODULES = (".py", ".so", ".egg", ".zip", ".dist-info", ".egg-info")
_EDITABLE = "__editable__"  # setuptools' finders of packages that are installed for editing, each with a MAPPING


def choose(wanted: str) -> Fence:
    """The fence that is meant. auto: landlock, or none where this machine has no such thing.

    Raises UsageError for one that cannot stand here.
    """
    if wanted == "auto":
        return "landlock" if landlock_problem() is None else "none"
    if wanted not in WANTED:
        raise unknown("fence", wanted, WANTED)
    fence: Fence = next(each for each in get_args(Fence) if each == wanted)
    problem = landlock_problem() if fence == "landlock" else sandbox_available() if fence == "bubblewrap" else None
    if problem is not None:
        raise UsageError(f"--fence {fence} cannot stand here: {problem}; use another one, or auto.")
    return fence


def landlock_problem() -> str | None:
    """Why there can be no fence of Landlock on this machine, or None where there can."""
    if sys.platform != "linux":
        return "Landlock is a part of Linux"
    if not landlock.abi():
        return "this kernel offers no Landlock (Linux has it from 5.13 on, where it is switched on)"
    return None if seccomp.available() else "this kernel or processor offers no filter of system calls"


def described(fence: Fence) -> str:
    """As runs record it: `landlock 7` with the kernel's version of it, `bubblewrap`, or `audit hook`."""
    return {"landlock": f"landlock {landlock.abi()}", "bubblewrap": "bubblewrap", "none": "audit hook"}[fence]


def weakest(fences: Iterable[str]) -> str:
    """Of several that stood in turn, as described, the one that kept out least."""
    order = ("audit", "landlock", "bubblewrap")
    return min(fences, key=lambda fence: (order.index(fence.split()[0]), fence))


def enclose(scratch: Path, device: str, readable: Sequence[str], hidden: Sequence[str]) -> None:
    """Close this process in behind Landlock, for good: it must have but one thread yet.

    It changes nothing but `scratch` and shared memory, reads what Python needs and `readable`, nothing that is hidden,
    and uses graphics processors for the device cuda. Raises OSError where the kernel refuses.
    """
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise OSError("a fence must stand before there is a second thread")
    closed = tuple(map(os.path.realpath, (*hidden, *_SECRETS)))
    give_up_privileges()
    landlock.restrict(_rules(scratch, device, readable, closed))
    seccomp.refuse_calls()


def device_files(device: str) -> list[str]:
    """Device files, and folders of them, that a worker may use behind Landlock."""
    return [*_DEVICES, *(found for pattern in _GRAPHICS if device == "cuda" for found in _found(pattern))]


def beside(file: Path, hidden: Sequence[str]) -> list[str]:
    """What a method may read beside its own file: files and folders whose names begin with no dot.

    No folders where its folder holds the user's home or all temporary files. Links are not followed.
    """
    folder = os.path.realpath(file.parent)
    wide = _leads_to(folder, (os.path.realpath(Path.home()), os.path.realpath(tempfile.gettempdir())))
    closed = tuple(map(os.path.realpath, hidden))
    return [
        path
        for entry in _entries(folder)
        if not entry.name.startswith(".") and not (wide and entry.is_dir())
        for path in _around(entry.path, closed)
    ]


def openings(root: str, hidden: Sequence[str]) -> Iterator[str]:
    """Files and folders that together hold all that lies below `root` but the hidden (real paths), nor version control
    where it lies beside these."""
    real = os.path.realpath(root)
    if not any(_leads_to(each, (real,)) for each in hidden):
        yield from _around(real, hidden)


def _around(folder: str, hidden: Sequence[str]) -> Iterator[str]:
    """`openings` of a folder that does not lie in a hidden one, or of a file."""
    start = folder.rstrip(os.sep) + os.sep
    inside = [each[len(start) :] for each in hidden if each.startswith(start)]
    if folder in hidden:
        return
    if not inside:
        yield folder
        return
    holding = {each.partition(os.sep)[0] for each in inside}
    for entry in _entries(folder):
        if entry.name in holding:
            yield from _around(entry.path, hidden)
        elif entry.name not in _VERSION_CONTROL:
            yield entry.path


def _rules(scratch: Path, device: str, readable: Sequence[str], hidden: Sequence[str]) -> Iterator[tuple[str, int]]:
    yield str(scratch), landlock.CHANGE
    yield _SHARED_MEMORY, landlock.CHANGE
    for each in device_files(device):
        yield each, landlock.USE | landlock.LIST
    libraries = _found(_GRAPHICS_LIBRARIES) if device == "cuda" else ()
    if device == "cuda":
        yield _OWN_THREADS, landlock.OVERWRITE
    for root in (*SYSTEM, *_RUNNING, *libraries, *_python()):
        yield os.path.realpath(root), landlock.LIST
        yield from ((each, landlock.READ) for each in openings(root, hidden))
    for root, rights in _installed_for_editing():
        yield from ((each, rights) for each in ([root] if rights == landlock.LIST else openings(root, hidden)))
    for root in (str(Path(harness.__file__).parent), *readable):
        yield from ((each, landlock.READ) for each in openings(root, hidden))


def _found(pattern: str) -> list[str]:
    return sorted(map(str, Path("/").glob(pattern)))


def _python() -> list[str]:
    """The interpreter with its packages, and where its libraries are looked for."""
    prefixes = map(Path, sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}))
    below = [prefix / name for prefix in prefixes for name in (*_OF_PREFIX, "pyvenv.cfg")]
    libraries = map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)))
    paths = (*below, Path(sys.executable), *libraries)
    return [str(path) for path in paths if path.is_absolute() and path.exists()]


def _installed_for_editing() -> Iterator[tuple[str, int]]:
    """Packages and modules that are imported from elsewhere; of the folders in which they lie only the names, which
    imports look through, and of the harness's own checkout not even these. Another environment's packages, to which a
    `.pth` file or PYTHONPATH leads, are installed ones: all of them."""
    for name, module in list(sys.modules.items()):
        if name.startswith(_EDITABLE):
            yield from ((str(path), landlock.READ) for path in getattr(module, "MAPPING", {}).values())
    standard = [os.path.realpath(each) for each in _python()]
    checkout = os.path.realpath(Path(harness.__file__).parents[1])
    for folder in {os.path.realpath(each) for each in sys.path} - {checkout}:
        if any(_leads_to(each, (folder,)) for each in standard):
            continue
        if Path(folder).is_file() or Path(folder).name in _INSTALLED:
            yield folder, landlock.READ
            continue
        yield folder, landlock.LIST
        for entry in _entries(folder):
            if entry.name.endswith(_MODULES) or Path(entry.path, "__init__.py").is_file():
                yield entry.path, landlock.READ


def _leads_to(folder: str, paths: Iterable[str]) -> bool:
    """Whether one of the paths is the folder or lies below it. All are real paths."""
    start = folder.rstrip(os.sep) + os.sep
    return any((path.rstrip(os.sep) + os.sep).startswith(start) for path in paths)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder and is no link; nothing where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.is_symlink()]
    except OSError:
        return []

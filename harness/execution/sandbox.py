"""A sandbox for the method worker, made by bubblewrap (Linux): it sees little of the machine and changes nothing of it.

The worker gets namespaces of its own (users, processes, network, IPC, host name), no capabilities, no way to gain
privileges, and a file system that holds only what Python needs: system libraries, the interpreter, installed packages
and the harness. All of it is read-only but the worker's scratch folder and a small `/dev/shm`. What this keeps out, and
what not, is told in SECURITY.md.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import harness
from harness.execution.guard import die_with_parent

MOST_PROCESSES = 256
"""Processes and threads that a method may have at one time."""

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/sys/devices/system"),
)
_CUDA_DEVICES, _CUDA_FACTS = "dev/nvidia*", ("/sys/bus/pci", "/sys/devices")
_PACKAGE = os.path.realpath(Path(harness.__file__).parent)
_SHARED_MEMORY = 1 << 28  # bytes of /dev/shm, which no limit on addresses counts
_PROBE_SECONDS = 60.0
_COUNTED_BY_NAMESPACE = (5, 14)  # Linux since which RLIMIT_NPROC counts the sandbox's processes, not all of the user's


@dataclass(frozen=True)
class Sandbox:
    """What a worker may see: nothing of the `hidden` files and below the `hidden` folders; graphics processors only for the device cuda."""

    hidden: tuple[str, ...] = ()
    device: str = "cpu"
    shown: tuple[str, ...] = ()
    """Folders that it may read beside what Python needs, also what is put into them later."""

    def around(self, command: list[str], scratch: Path) -> list[str]:
        """The command inside a sandbox whose only folder to write into is `scratch`. Open descriptors pass through."""
        visible = _visible_folders()
        below = tuple(folder + os.sep for folder in visible)
        arguments = ["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"]
        arguments += ["--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev"]
        for folder in visible:
            arguments += ["--ro-bind", folder, folder]
        for folder in self.shown:
            arguments += ["--ro-bind", folder, folder]
        if self.device == "cuda":
            for device in map(str, sorted(Path("/").glob(_CUDA_DEVICES))):
                arguments += ["--dev-bind", device, device]
            for folder in _CUDA_FACTS:
                arguments += ["--ro-bind-try", folder, folder]
        hidden = sorted(map(os.path.realpath, self.hidden))
        empty = [each for each in hidden if each.startswith(below) and Path(each).is_dir()]
        for folder in empty:
            arguments += ["--tmpfs", folder]
        for file in (each for each in hidden if each.startswith(below) and Path(each).is_file()):
            arguments += ["--ro-bind", "/dev/null", file]
        arguments += ["--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm", "--bind", str(scratch), str(scratch)]
        for folder in (*empty, "/dev", "/"):
            arguments += ["--remount-ro", folder]
        return [shutil.which("bwrap") or "bwrap", *arguments, "--chdir", str(scratch), "--", *command]


@lru_cache(maxsize=1)
def sandbox_available() -> str | None:
    """Why no sandbox can be made on this machine, or None where one can: it is tried."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (the program bwrap) is not installed"
    with tempfile.TemporaryDirectory() as scratch:
        command = Sandbox().around([sys.executable, "-c", "pass"], Path(os.path.realpath(scratch)))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap cannot run here: {error}"
    words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return None if done.returncode == 0 else f"bubblewrap cannot run here: {words[-1]}"


def settle() -> None:
    """Called first in a sandbox: die with it, and start no endless number of processes.

    The kernel does not count processes of root, and before Linux 5.14 it counted all of the user's: there the harness
    counts for itself, twice a second (`MethodProcess`).
    """
    die_with_parent(1)
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= _COUNTED_BY_NAMESPACE:
        resource.setrlimit(resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))


@lru_cache(maxsize=1)
def _visible_folders() -> tuple[str, ...]:
    """Files and folders that a worker is shown, outer ones first."""
    parent = str(Path(_PACKAGE).parent)  # of which only the package itself is shown
    imported = [each for each in _import_path() if os.path.realpath(each) != parent]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    python = (*_interpreter(), sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    wanted = [each for each in (*SYSTEM, *python, *imported, *libraries, _PACKAGE) if each and Path(each).exists()]
    outer: list[str] = []
    for path in sorted({each for name in wanted for each in (name, os.path.realpath(name))}):
        if not path.startswith(tuple(each + os.sep for each in outer)):
            outer.append(path)
    return tuple(outer)


def _interpreter() -> list[str]:
    """The interpreter, and every symbolic link on the way to it."""
    hops = [Path(sys.executable)]
    while hops[-1].is_symlink():
        hops.append(hops[-1].parent / hops[-1].readlink())
    return [os.path.normpath(hop) for hop in hops]


def _import_path() -> list[str]:
    """Where a worker imports from, which is not where this process does: it has no environment and no script."""
    command = [sys.executable, "-s", "-c", "import sys; print(*filter(None, sys.path), sep='\\n')"]
    done = subprocess.run(command, capture_output=True, text=True, env={}, timeout=_PROBE_SECONDS, check=True)
    return done.stdout.splitlines()

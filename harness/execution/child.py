"""A child process of ours: started fresh, spoken to over a channel, killed with all it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from harness.data.folders import HeldFolder, abandoned
from harness.data.scratch import remove_abandoned
from harness.execution.channel import Channel
from harness.execution.processes import count_below, kill_below, kill_group, kill_marked
from harness.execution.sandbox import Sandbox
from harness.spec.errors import EvaluatesItselfError
from harness.storage import StorageError

STARTS_AN_EVALUATION = (
    "the method's own file starts an evaluation; put that call at the end of the file, under "
    '`if __name__ == "__main__":`.'
)
_TOKEN = "HARNESS_PROCESS_TOKEN"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
# The child runs the very harness that started it, but whatever lies beside that comes last on its path.
_START = (
    "import sys; sys.path[:] = [{parent!r}, *filter(None, sys.path)]; import harness; "
    "sys.path.append(sys.path.pop(0)); "
    "{first}; "
    "from {module} import main; main(int(sys.argv[1]), sys.argv[2:])"
)
_DIE = "from harness.execution.guard import die_with_parent; die_with_parent({pid})"
_SETTLE = "from harness.execution.sandbox import settle; settle()"
_KILLING_SECONDS = 10.0
_SIGNALLED = 128  # a sandbox's exit code for a process that a signal ended, less the signal's number


class ChildProcess:
    """A Python process running `module.main(fd, args)`, its own session leader, in its own folder.

    The environment is clean unless `environment` adds to it; standard output and error go to a log
    file, so that nothing the child prints can be taken for an answer. In a `sandbox`, the process
    that we see is the sandbox's own, and the Python process runs in it. Raises StorageError if the
    system refuses a folder or a process.
    """

    def __init__(
        self,
        module: str,
        args: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        clean: bool = True,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._sandbox = sandbox
        try:
            self._held = HeldFolder()
            try:
                self._start(_command(module, clean, sandbox is not None), args, environment or {}, clean)
            except BaseException:
                self._held.remove()
                raise
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"Could not start a process or make its temporary folder: {reason}.") from error

    @property
    def folder(self) -> Path:
        return self._held.path

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    @property
    def scratch(self) -> Path:
        """The only folder that the child is meant to write into."""
        return self.folder / "tmp"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self, wait: float = 0.0) -> int | None:
        """Exit code (negative: signal number), or None while it runs.

        The process is not reaped, so that its number means nobody else until `kill`.
        """
        code = self._ended(wait)
        if self._sandbox is None or code is None or code <= _SIGNALLED:
            return code
        return _SIGNALLED - code

    def count(self) -> int:
        """How many processes and threads live below this one. Linux only."""
        return count_below(self.pid)

    def _ended(self, wait: float) -> int | None:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=wait)
            return None
        deadline = time.monotonic() + wait
        while self._process.returncode is None:
            with contextlib.suppress(ChildProcessError):  # another thread of ours is in `kill`
                status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if status is not None:
                    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.01)
        return self._process.returncode

    def last_words(self, length: int = 2000) -> str:
        """The end of what the child printed."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - length))
            return log.read().decode(errors="replace").strip()
        return ""

    def ask_to_end(self, wait: float) -> None:
        """SIGTERM, and so many seconds to heed it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self._ended(wait)

    def kill(self) -> None:
        """End the process, its group, and what it started that left the group; remove its folder."""
        if self._process.returncode is None:
            kill_below(self.pid)  # first: who has no living parent here is found by its mark only
            kill_group(self.pid)
            kill_marked(self._held.token)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_KILLING_SECONDS)
        self.channel.close()
        self._held.remove()

    def _start(self, command: list[str], args: tuple[str, ...], environment: dict[str, str], clean: bool) -> None:
        self.scratch.mkdir()
        lineage = ":".join(filter(None, (os.environ.get(_TOKEN), self._held.token)))
        own = {_TOKEN: lineage, "TMPDIR": str(self.scratch), **environment}
        if clean:
            base = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
            own |= {"HOME": str(self.scratch), "MPLCONFIGDIR": str(self.scratch), "PYTHONHASHSEED": "0"}
        else:
            base = dict(os.environ)
        if self._sandbox is not None:
            command = self._sandbox.around(command, self.scratch)
        ours, theirs = socket.socketpair()
        try:
            with self.log.open("wb") as log, theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), *args],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.scratch if clean else None,
                    env=base | own,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        self.channel = Channel(ours)


def unit_child(threads: int, environment: Mapping[str, str] | None = None) -> ChildProcess:
    """A unit process that waits for its job; `environment` is added to its own. Raises as ChildProcess."""
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return ChildProcess("harness.execution.unit_process", environment={**own, **(environment or {})}, clean=False)


def inside_worker() -> bool:
    """Whether this process, or one that it descends from, was started here."""
    return _TOKEN in os.environ


def read_no_further() -> None:
    """A script that evaluates a method of its own is read by that method's worker, too: as far as this call.

    Raises EvaluatesItselfError in a worker.
    """
    if inside_worker():
        raise EvaluatesItselfError(STARTS_AN_EVALUATION)


def end_abandoned() -> None:
    """End what killed runs have left behind, and remove their folders."""
    for token in abandoned():
        kill_marked(token)
    remove_abandoned()


def one_line(text: str, longest: int = 500) -> str:
    """Text from a stranger as one printable line."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:longest]


def _command(module: str, clean: bool, sandboxed: bool) -> list[str]:
    """A clean environment needs no isolation from itself, and only so is the hash seed in it heeded."""
    first = _SETTLE if sandboxed else _DIE.format(pid=os.getpid())
    start = _START.format(parent=_PACKAGE_PARENT, first=first, module=module)
    return [sys.executable, "-s" if clean else "-I", "-c", start]

"""A child process of ours: started fresh, spoken to over a channel, killed with all it has started."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.execution.channel import Channel

_TOKEN = "HARNESS_PROCESS_TOKEN"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.append({parent!r}); from {module} import main; main(int(sys.argv[1]), sys.argv[2:])"


class ChildProcess:
    """A Python process running `module.main(fd, args)`, its own session leader, in its own folder.

    The environment is clean unless `environment` adds to it; standard output and error go to a log
    file, so that nothing the child prints can be taken for an answer.
    """

    def __init__(
        self,
        module: str,
        args: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        clean: bool = True,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="harness-"))
        self.log = self.folder / "output.log"
        self._token = secrets.token_hex(16)
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        base = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} if clean else dict(os.environ)
        scratch = self.folder / "tmp"
        scratch.mkdir()
        lineage = ":".join(filter(None, (os.environ.get(_TOKEN), self._token)))
        own = {_TOKEN: lineage, "PYTHONHASHSEED": "0"}
        if clean:
            own |= {"HOME": str(scratch), "TMPDIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
        command = [sys.executable, "-I", "-c", _START.format(parent=_PACKAGE_PARENT, module=module)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=scratch if clean else None,
                env=base | own | (environment or {}),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        theirs.close()

    @property
    def scratch(self) -> Path:
        """The only folder that the child is meant to write into."""
        return self.folder / "tmp"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self, wait: float = 0.0) -> int | None:
        """Exit code (negative: signal number), or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=wait)
        return None

    def last_words(self, length: int = 2000) -> str:
        """The end of what the child printed."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - length))
            return log.read().decode(errors="replace").strip()
        return ""

    def kill(self) -> None:
        """End the process, its group, and what it started that left the group; remove its folder."""
        for pid in (self._process.pid, *_marked(self._token)):
            _kill_group(pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        for pid in _marked(self._token):  # whatever was forked while we were killing
            _kill_group(pid)
        self.channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _kill_group(pid: int) -> None:
    """SIGKILL for a process and, where it leads one, its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _marked(token: str) -> list[int]:
    """Processes whose environment carries the token: descendants, even after setsid. Linux only."""
    needle = token.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found

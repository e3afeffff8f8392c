"""Who works on which unit of a run, as files that every machine sees: `jobs/begun/<unit>.json`.

A claim is kept alive by its file's time, which its worker renews; one that was not renewed for a minute, or whose process
on this host has ended, is void, and the unit may be begun again. So no two workers are in one unit: a worker that was cut
off and comes back finds that its claim has passed on, and ends itself. Claims need not outlive a power failure, which no
worker does.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.execution.job import Job, jobs_folder
from harness.storage import IntegrityError, StorageError, make_folder, process_space, read_json, write_json

BEGUN = "begun"
_RENEWED_EVERY = 10.0
VOID_AFTER = 60.0
"""Seconds without renewal; by the clock of the file system, which is one for all machines."""
_WAIT = 0.5
_REPORTED_EVERY = 5.0
_SUPERSEDED = 75  # exit code of a process that finds its unit in other hands


@dataclass(frozen=True)
class Begun:
    """What a claim's file says. kept: a name of what the unit had kept when it was claimed. lost: workers that vanished in
    this unit before, in the same session, since it last kept anything; deaths: how unit processes ended in it whose worker
    lived on. released: given back by a worker that was told to stop. what, share: how far the unit has come."""

    unit: str
    label: str
    host: str
    space: str
    pid: int
    session: str
    since: float
    kept: str = ""
    lost: int = 0
    deaths: tuple[str, ...] = ()
    released: bool = False
    what: str = ""
    share: float = 0.0

    @property
    def worker(self) -> str:
        return f"{self.host}:{self.pid}"


class SetApartError(Exception):
    """Workers were lost with a unit, which is not begun again before all others have ended."""


class Claim:
    """A unit in this process's hands. Its file is renewed from a thread, and goes when the unit has ended."""

    def __init__(self, path: Path, begun: Begun) -> None:
        self.path, self._begun = path, begun
        self._over, self._writing, self._told = threading.Event(), threading.Lock(), 0.0
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()

    @property
    def lost(self) -> int:
        """Workers that vanished in this unit since it last kept anything."""
        return self._begun.lost

    @property
    def deaths(self) -> tuple[str, ...]:
        """How unit processes ended in this unit before."""
        return self._begun.deaths

    def report(self, what: str, share: float) -> None:
        """Note how far the unit has come, not too often."""
        if time.monotonic() - self._told >= _REPORTED_EVERY:
            self._told = time.monotonic()
            with self._writing, contextlib.suppress(StorageError):
                self._begun = replace(self._begun, what=what, share=share)
                self._stay()
                write_json(self.path, asdict(self._begun), durable=False)

    def end(self, *, released: bool) -> None:
        """Take the claim away, or leave word that it was given back."""
        self._over.set()
        with self._writing:
            if not _is_same(_read(self.path), self._begun):
                return
            if released:
                write_json(self.path, asdict(replace(self._begun, released=True)), durable=False)
            else:
                self.path.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._over.wait(_RENEWED_EVERY):
            with self._writing, contextlib.suppress(OSError):
                if not self._over.is_set():
                    self._stay()
                    os.utime(self.path)

    def _stay(self) -> None:
        """End this process where another one has the unit by now: nothing that it writes may meet the other's files."""
        found = _read(self.path)
        if found is not None and not _is_same(found, self._begun):
            os._exit(_SUPERSEDED)


@contextmanager
def claimed(
    job: Job,
    unit: str,
    label: str,
    ended: Callable[[], bool],
    most_lost: float = math.inf,
    kept: Callable[[], str] = str,
) -> Iterator[Claim | None]:
    """Hold a unit while the block runs; None where it has `ended` in other hands, which this waits for.

    kept: names what the unit has kept so far; the same name as long as that is the same. A block that is left by an exit
    or an interrupt gives the unit back. Raises StorageError, and SetApartError for a unit with which so many workers were
    lost before, and which kept nothing in between.
    """
    path = _path(job.folder, unit)
    make_folder(path.parent)
    mine = Begun(unit, label, socket.gethostname(), process_space(), os.getpid(), job.session, time.time())
    claim = None
    while not ended() and (claim := _taken(path, mine, most_lost, kept)) is None:
        time.sleep(_WAIT)
    if claim is None:
        yield None
        return
    try:
        yield claim
    except BaseException as error:
        claim.end(released=isinstance(error, SystemExit | KeyboardInterrupt))
        raise
    claim.end(released=False)


def note_death(run: Path, unit: str, reason: str) -> None:
    """Note, in the claim of a unit process that died, how it ended; who notes it had started that process."""
    path = _path(run, unit)
    with _gate(path):
        found = _read(path)
        if found is not None and not found.released:
            write_json(path, asdict(replace(found, deaths=(*found.deaths, reason), released=True)), durable=False)


def under_way(run: Path) -> Iterator[tuple[Begun, float]]:
    """The claims of a run, each with the seconds since it was last renewed. Changes nothing."""
    now = time.time()
    for path in sorted((jobs_folder(run) / BEGUN).glob("*.json")):
        found = _read(path)
        with contextlib.suppress(OSError):
            if found is not None and not found.released:
                yield found, now - path.stat().st_mtime


def is_void(begun: Begun, silent: float) -> bool:
    """Whether nobody works on a unit any more, by its claim and the seconds since that was last renewed."""
    here = (begun.host, begun.space) == (socket.gethostname(), process_space())
    return begun.released or silent > VOID_AFTER or (here and not _lives(begun.pid))


def _path(run: Path, unit: str) -> Path:
    return jobs_folder(run) / BEGUN / f"{unit[:16]}.json"


def _taken(path: Path, mine: Begun, most_lost: float = math.inf, kept: Callable[[], str] = str) -> Claim | None:
    """The claim, if it is free or void; None while another process has it. Raises SetApartError."""
    with _gate(path) as now:
        found = _read(path)
        if found is not None:
            own = (found.host, found.space, found.pid) == (mine.host, mine.space, mine.pid)
            if not own and not is_void(found, now - path.stat().st_mtime):
                return None
        mine = replace(mine, kept=kept())
        if found is not None and found.session == mine.session:
            before = found.lost if found.kept == mine.kept else 0  # a unit that gets on is not what ends workers
            vanished = 0 if found.released or own else 1
            mine = replace(mine, lost=before + vanished, deaths=found.deaths)
        if mine.lost >= most_lost:
            write_json(path, asdict(replace(mine, released=True)), durable=False)
            raise SetApartError(f"{mine.lost} workers were lost while {mine.label} was under way")
        write_json(path, asdict(mine), durable=False)
    return Claim(path, mine)


@contextmanager
def _gate(path: Path) -> Iterator[float]:
    """Be the only process that looks at a claim and changes it; gives the file system's time. Raises StorageError."""
    from filelock import FileLock

    gate = path.with_suffix(".lock")
    try:
        with FileLock(gate, mode=0o666 & path.parent.stat().st_mode):
            os.utime(gate)
            yield gate.stat().st_mtime
    except (OSError, NotImplementedError) as error:  # the latter for file systems without locks
        raise StorageError(f"Could not claim a unit in {path.parent}: {error}.") from error


def _read(path: Path) -> Begun | None:
    with contextlib.suppress(OSError, IntegrityError, TypeError, KeyError):
        plain = read_json(path)
        return Begun(**plain | {"deaths": tuple(plain["deaths"])})
    return None


def _is_same(found: Begun | None, own: Begun) -> bool:
    return found is not None and (found.host, found.space, found.pid, found.since) == (
        *(own.host, own.space, own.pid),
        own.since,
    )


def _lives(pid: int) -> bool:
    """Whether a process of this host lives; a dead one that nobody has reaped does not."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self/stat").exists()

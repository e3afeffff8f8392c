"""The gate over folders of strangers: each is read in a process of its own, with limits of time and memory.

What a hostile file does to a parser (endless work, all memory, a crash of native code) ends that process and nothing
else, and is refused in one sentence. On systems without `/proc` (macOS) memory is not limited, time is.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.boards.gate.report import Finding, Report
from harness.boards.gate.revision import FileChange, Revision
from harness.boards.gate.validate import validate
from harness.boards.maps import Fetch
from harness.boards.submissions import SUBMISSIONS
from harness.execution.channel import Channel, ChannelClosedError, MalformedMessageError, Message
from harness.execution.child import ChildProcess
from harness.execution.guard import limit_files, limit_memory
from harness.spec.kinds import load

MOST_FOLDERS = 10
"""Of one change; it may hold one submission, so that further ones are refused unread."""


@dataclass(frozen=True)
class Bounds:
    """What judging one folder may take: seconds on the clock, and as many of each core; GiB of memory."""

    seconds: float = 600.0
    gibibytes: float = 8.0


BOUNDS = Bounds()
FETCHING = Bounds(seconds=3600.0)
"""Where maps are downloaded first."""


def validate_bounded(
    folder: Path, *, changes: Sequence[FileChange] = (), fetch: Fetch | None = None, bounds: Bounds | None = None
) -> Report:
    """`validate` in a process of its own; what it cannot do within its bounds is a finding.

    `fetch` must be a function of a module, because the process gets its name.
    """
    return _in_child(folder.absolute(), changes, fetch, bounds or (BOUNDS if fetch is None else FETCHING)).model_copy(
        update={"folder": Report(folder=str(folder), findings=()).folder}
    )


def validate_changed(checkout: Path, revision: str, fetch: Fetch | None = None) -> Iterator[Report]:
    """Every submission or folder of sources that a checkout adds, changes or removes since it parted from a revision.

    A change that touches none is no submission and has no report, whatever else it holds.
    """
    changes = Revision(checkout, revision).changes
    places = {PurePosixPath(change.path).parts[:3] for change in changes}
    touched = sorted(place for place in places if place[0] == SUBMISSIONS)
    for number, parts in enumerate(touched):
        name = "/".join(parts)
        if number < MOST_FOLDERS:
            report = validate_bounded(checkout.joinpath(*parts), changes=changes, fetch=fetch)
            yield Report(folder=name, findings=report.findings, as_reported=report.as_reported)
        else:
            yield _refused(name, "changes", f"the same change touches {len(touched)} folders; a submission is one.")


def main(fd: int, args: list[str]) -> None:
    """Judge one folder and send the report."""
    channel = Channel(socket.socket(fileno=fd))
    asked = channel.receive().meta
    folder, bounds = Path(asked["folder"]), Bounds(**asked["bounds"])
    _limit(bounds)
    changes = [FileChange(*each) for each in asked["changes"]]
    try:
        report = validate(folder, changes=changes, fetch=load(asked["fetch"]) if asked["fetch"] else None)
    except MemoryError:
        report = _refused(str(folder), "limits", _too_much(bounds))
    except Exception as error:  # what a hostile file makes a library raise is never accepted, and no traceback
        report = _refused(
            str(folder),
            "limits",
            f"it could not be judged ({type(error).__name__}: {error}); if nothing in it is unusual, report this.",
        )
    channel.send(Message("report", report.canonical()))


def _in_child(folder: Path, changes: Sequence[FileChange], fetch: Fetch | None, bounds: Bounds) -> Report:
    asked = {
        "folder": str(folder),
        "changes": [[change.status, change.path] for change in changes],
        "fetch": None if fetch is None else f"{fetch.__module__}:{fetch.__qualname__}",
        "bounds": {"seconds": bounds.seconds, "gibibytes": bounds.gibibytes},
    }
    deadline = time.monotonic() + bounds.seconds
    child = ChildProcess("harness.boards.gate.bounded", clean=False)
    try:
        child.channel.send(Message("validate", asked), deadline)
        return Report.model_validate(child.channel.receive(deadline).meta)
    except TimeoutError:
        return _refused(str(folder), "limits", _too_long(bounds))
    except (ChannelClosedError, MalformedMessageError):
        code = child.ended(wait=10)
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return _refused(
            str(folder),
            "limits",
            f"the process that read it ended {how}: it needs more than the {bounds.seconds:g} s or the "
            f"{bounds.gibibytes:g} GiB of memory allowed, or one of its files made it crash.",
        )
    finally:
        child.kill()


def _limit(bounds: Bounds) -> None:
    limit_files()
    limit_memory(bounds.gibibytes)
    seconds = int(bounds.seconds) * (os.cpu_count() or 1) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _refused(folder: str, rule: str, sentence: str) -> Report:
    return Report(folder=folder, findings=(Finding(rule=rule, severity="refused", sentence=sentence),))


def _too_long(bounds: Bounds) -> str:
    return f"judging it takes more than the {bounds.seconds:g} s allowed."


def _too_much(bounds: Bounds) -> str:
    return f"judging it takes more than the {bounds.gibibytes:g} GiB of memory allowed."

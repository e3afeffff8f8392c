"""Progress on the terminal: checks as they pass, then a bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.cli.output import FAILED, PASSED, say
from harness.data.origins.base import ProgressListener
from harness.execution.evaluate import Listener
from harness.execution.executor import UnitEnd, UnitProgress
from harness.execution.runner import Observer
from harness.methods.conformance import Check

_STEPS = 100  # of a unit that reports how far it has come


class RunBar(Observer):
    """Draws the progress of a run on standard error."""

    def __init__(self, progress: Progress, first: str) -> None:
        self._progress, self._console = progress, progress.console
        self._said: set[str] = set()
        self._under_way: dict[str, TaskID] = {}
        self._task: TaskID = progress.add_task(first, total=None)

    @property
    def listener(self) -> Listener:
        return Listener(checked=self.checked, observer=self)

    def checked(self, check: Check) -> None:
        say(check.name, sign=f"  {PASSED if check.passed else FAILED}", console=self._console)

    def started(self, done: int, total: int) -> None:
        if done:
            say(f"  {done} of {total} units are done already", console=self._console)
        self._progress.update(self._task, description="running units", total=total, completed=done)

    def progressed(self, progress: UnitProgress) -> None:
        if progress.unit not in self._under_way:
            self._under_way[progress.unit] = self._progress.add_task("", total=_STEPS)
        shown = f"{progress.label}: {progress.what}"
        self._progress.update(
            self._under_way[progress.unit], description=shown, completed=round(_STEPS * progress.share)
        )

    def finished(self, end: UnitEnd) -> None:
        if end.result.unit in self._under_way:
            self._progress.remove_task(self._under_way.pop(end.result.unit))
        if end.result.status not in ("ok", "not-applicable") and end.result.reason not in self._said:
            self._said.add(end.result.reason)
            where = f"{end.result.study} · {end.result.model}"
            say(f"{where}: {end.result.status}: {end.result.reason}", sign=f"  {FAILED}", console=self._console)
        self._progress.advance(self._task)

    def sealing(self) -> None:
        self._progress.update(self._task, description="intervals by bootstrap", total=None)

    def scoring_board(self, done: int, total: int) -> None:
        self._progress.update(self._task, description="scoring the board", total=total, completed=done)


class DownloadBar(ProgressListener):
    """Draws how far downloads are on standard error, one at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._console = progress, progress.console
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def say(self, sentence: str) -> None:
        say(f"  {sentence}", console=self._console)


@contextmanager
def run_bar(first: str, *, quiet: bool = False) -> Iterator[RunBar]:
    """A bar on standard error while the block runs, which begins with `first`; nothing with `quiet`."""
    name = TextColumn("  [progress.description]{task.description}")
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), *_time_left())
    with Progress(*columns, console=_console(quiet=quiet), transient=True, disable=quiet) as progress:
        yield RunBar(progress, first)


@contextmanager
def download_bar() -> Iterator[DownloadBar]:
    """Bytes, rate and time left on standard error while the block runs; only sentences where that is no terminal."""
    with _on_terminals(BarColumn(), DownloadColumn(), TransferSpeedColumn(), *_time_left()) as progress:
        yield DownloadBar(progress)


@contextmanager
def counter(first: str) -> Iterator[Callable[[str, int], None]]:
    """A function that shows what is being done and how much of it is; nothing where standard error is no terminal."""
    with _on_terminals(TextColumn("{task.completed:,.0f}"), TimeElapsedColumn()) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what, done: progress.update(task, description=what, completed=done)


def _time_left() -> tuple[ProgressColumn, ProgressColumn]:
    return TextColumn("left"), TimeRemainingColumn()


def _console(*, quiet: bool = False) -> Console:
    return Console(stderr=True, quiet=quiet, highlight=False)


def _on_terminals(*columns: ProgressColumn) -> Progress:
    console = _console()
    name = TextColumn("  {task.description}", markup=False)
    return Progress(name, *columns, console=console, transient=True, disable=not console.is_terminal)

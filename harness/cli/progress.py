"""Progress on the terminal: checks as they pass, then a bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import TimeRemainingColumn as TimeLeft

from harness.data.origins.base import ProgressListener
from harness.execution.evaluate import Listener
from harness.execution.executor import UnitEnd, UnitProgress
from harness.execution.runner import Observer
from harness.methods.conformance import Check

_STEPS = 100  # of a unit that reports how far it has come


class BarObserver(Observer):
    """Draws the progress of a run on standard error."""

    def __init__(self, progress: Progress, console: Console, first: str) -> None:
        self._progress, self._console = progress, console
        self._said: set[str] = set()
        self._under_way: dict[str, TaskID] = {}
        self._task: TaskID = progress.add_task(first, total=None)

    def checked(self, check: Check) -> None:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        self._console.print(f"  {mark} {check.name}")

    def started(self, done: int, total: int) -> None:
        if done:
            self._console.print(f"  {done} of {total} units are done already")
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
            self._console.print(f"  [red]✗[/] {end.result.study} · {end.result.model}: ", end="")
            self._console.print(f"{end.result.status}: {end.result.reason}", markup=False)
        self._progress.advance(self._task)

    def sealing(self) -> None:
        self._progress.update(self._task, description="intervals by bootstrap", total=None)

    def scoring_board(self, done: int, total: int) -> None:
        self._progress.update(self._task, description="scoring the board", total=total, completed=done)


@dataclass(frozen=True)
class BarListener(Listener):
    """A listener whose bar also knows of the board."""

    bar: BarObserver | None = None

    def scoring_board(self, done: int, total: int) -> None:
        """Show how many submissions of the board are scored."""
        if self.bar is not None:
            self.bar.scoring_board(done, total)


@contextmanager
def listening(first: str, *, quiet: bool = False) -> Iterator[BarListener]:
    """A bar on standard error while the block runs, which begins with `first`; nothing with `quiet`."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (
        TextColumn("  [progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeft(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        observer = BarObserver(progress, console, first)
        yield BarListener(checked=observer.checked, observer=observer, bar=observer)


class DownloadBar(ProgressListener):
    """Draws how far downloads are on standard error, one at a time."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def say(self, sentence: str) -> None:
        self._console.print(f"  {sentence}", markup=False, soft_wrap=True)


@contextmanager
def downloading() -> Iterator[DownloadBar]:
    """Bytes, rate and time left on standard error while the block runs; only sentences where that is no terminal."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeLeft(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield DownloadBar(progress, console)


@contextmanager
def counting(first: str) -> Iterator[Callable[[str, int], None]]:
    """A function that shows what is being done and how much of it is; nothing where standard error is no terminal."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("  {task.description}", markup=False),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what, done: progress.update(task, description=what, completed=done)

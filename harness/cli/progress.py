"""Progress on standard error: checks as they pass, then a bar with the time left; where that is no terminal, lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.cli.output import FAILED, PASSED, say
from harness.data.origins.base import ProgressListener
from harness.execution.evaluate import Listener
from harness.execution.executor import Notice, UnitProgress
from harness.execution.job import UnitEnd
from harness.execution.runner import Observer
from harness.methods.conformance import Check

_STEPS = 100  # of a unit that reports how far it has come
_SILENCE = 30.0  # seconds without a line, where there is no terminal for a bar
_SILENCE_IN_NOTEBOOKS = 5.0


class RunBar(Observer):
    """Draws the progress of a run on standard error."""

    def __init__(self, progress: Progress, first: str) -> None:
        self._progress, self._console = progress, progress.console
        self._said: set[str] = set()
        self._scoring = False
        self.reused = False
        """Whether all units were there already, so that none was run."""
        self.begun: Callable[[], None] = lambda: None
        """Called when units begin."""
        self._under_way: dict[str, TaskID] = {}
        self._task: TaskID = progress.add_task(first, total=None)

    @property
    def listener(self) -> Listener:
        return Listener(checked=self.checked, observer=self)

    def checked(self, check: Check) -> None:
        say(check.name, sign=f"  {PASSED if check.passed else FAILED}", console=self._console)

    def started(self, done: int, total: int) -> None:
        self.reused = done == total
        if done:
            say(f"  {done} of {total} units are done already", console=self._console)
        self._begin("running units", total, done)
        self.begun()

    def progressed(self, progress: UnitProgress) -> None:
        if progress.unit not in self._under_way:
            self._under_way[progress.unit] = self._progress.add_task("", total=_STEPS)
        shown = f"{progress.label}: {progress.what}"
        self._progress.update(
            self._under_way[progress.unit], description=shown, completed=round(_STEPS * progress.share)
        )

    def noticed(self, notice: Notice) -> None:
        say(notice.text, sign="  … ", console=self._console)

    def finished(self, end: UnitEnd) -> None:
        if end.result.unit in self._under_way:
            self._progress.remove_task(self._under_way.pop(end.result.unit))
        if end.result.status not in ("ok", "not-applicable") and end.result.reason not in self._said:
            self._said.add(end.result.reason)
            where = f"{end.result.study} · {end.result.model}"
            say(f"{where}: {end.result.status}: {end.result.reason}", sign=f"  {FAILED}", console=self._console)
        self._progress.advance(self._task)

    def sealing(self) -> None:
        self._begin("intervals by bootstrap")

    def scoring_board(self, done: int, total: int) -> None:
        if not self._scoring:
            self._scoring = True
            self._begin("scoring the board", total, done)
        self._progress.update(self._task, completed=done)

    def _begin(self, what: str, total: int | None = None, done: int = 0) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done, before=done)


class DownloadBar(ProgressListener):
    """Draws how far downloads are on standard error, one at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._console = progress, progress.console
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done, before=done)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def say(self, sentence: str) -> None:
        say(f"  {sentence}", console=self._console)


@contextmanager
def run_bar(first: str, *, quiet: bool = False) -> Iterator[RunBar]:
    """A bar while the block runs, which begins with `first`; nothing with `quiet`."""
    name = TextColumn("  [progress.description]{task.description}")
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), *_time_left())
    with _shown(*columns, quiet=quiet) as progress:
        yield RunBar(progress, first)


@contextmanager
def download_bar() -> Iterator[DownloadBar]:
    """Bytes, rate and time left while the block runs."""
    columns = (_plain_name(), BarColumn(), DownloadColumn(), TransferSpeedColumn(), *_time_left())
    with _shown(*columns, number=decimal) as progress:
        yield DownloadBar(progress)


@contextmanager
def counter(first: str) -> Iterator[Callable[[str, int], None]]:
    """A function that shows what is being done and how much of it is."""
    with _shown(_plain_name(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn()) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what, done: progress.update(task, description=what, completed=done)


def _time_left() -> tuple[ProgressColumn, ProgressColumn]:
    return TextColumn("left"), TimeRemainingColumn()


def _plain_name() -> ProgressColumn:
    return TextColumn("  {task.description}", markup=False)


@contextmanager
def _shown(*columns: ProgressColumn, quiet: bool = False, number: Callable[[int], str] = str) -> Iterator[Progress]:
    """Tasks drawn as bars while the block runs, or said every half minute where standard error is no terminal. Notebooks
    get bars by ipywidgets, and without them a line more often."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    drawn = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    silence = _SILENCE_IN_NOTEBOOKS if console.is_jupyter else _SILENCE
    over = threading.Event()

    def speak() -> None:
        while not over.wait(silence):
            if line := _line(progress.tasks, number):
                say(line, console=console)

    with Progress(*columns, console=console, transient=True, disable=quiet or not drawn) as progress:
        speaker = threading.Thread(target=speak, daemon=True)
        if not quiet and not drawn:
            speaker.start()
        try:
            yield progress
        finally:
            over.set()
            if speaker.is_alive():
                speaker.join()


def _line(tasks: list[Task], number: Callable[[int], str]) -> str:
    """The first task, how far it and those within it are, and how long the rest will take at this rate."""
    if not tasks:
        return ""
    first, within = tasks[0], [task for task in tasks[1:] if task.total]
    elapsed, counted = first.elapsed or 0.0, first.completed
    line = f"  … {first.description}"
    if first.total:
        line += f": {number(int(counted))} of {number(int(first.total))}"
    elif counted:
        line += f": {number(int(counted))}"
    line += f", {_clock(elapsed)} so far"
    done = counted - first.fields.get("before", 0) + sum(task.percentage / 100 for task in within)
    if first.total and done > 0:
        line += f", about {_clock(elapsed * max(0.0, first.total - first.fields.get('before', 0) - done) / done)} left"
    return line + "".join(f"; {task.description}" for task in within)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

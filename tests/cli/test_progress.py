"""Where standard error is no terminal, lines say how far a command is and how long it will still take."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from harness.cli import progress as shown
from harness.cli.progress import _line, counter, download_bar, run_bar
from harness.execution.executor import UnitEnd, UnitProgress
from harness.spec.result import UnitResult


def ended(name: str) -> UnitEnd:
    return UnitEnd(UnitResult(unit=name, model="m", seed=0, study="s", status="ok", reason=""), 1.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_has_what_is_done_and_the_time_left() -> None:
    clock = Clock()
    bars = Progress(disable=True, get_time=clock)
    bar = shown.RunBar(bars, "checking the method")
    clock.now = 31
    assert _line(bars.tasks, str) == "  … checking the method, 0:00:31 so far"
    bar.started(2, 12)
    clock.now += 60
    assert _line(bars.tasks, str) == "  … running units: 2 of 12, 0:01:00 so far"
    bar.progressed(UnitProgress("a" * 64, "low · cnn", "loop 2 of 4", 0.5))
    assert "about 0:19:00 left; low · cnn: loop 2 of 4" in _line(bars.tasks, str), "half a unit a minute, 9.5 to go"
    bar.finished(ended("a" * 64))
    # Those that were done before say nothing of the pace: 1 in a minute, 9 to go.
    assert _line(bars.tasks, str) == "  … running units: 3 of 12, 0:01:00 so far, about 0:09:00 left"
    bar.sealing()
    clock.now += 5
    assert _line(bars.tasks, str) == "  … intervals by bootstrap, 0:00:05 so far"
    bar.scoring_board(0, 4)
    clock.now += 10
    bar.scoring_board(1, 4)
    assert _line(bars.tasks, str) == "  … scoring the board: 1 of 4, 0:00:10 so far, about 0:00:30 left"


def test_lines_come_again_and_again(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_SILENCE", 0.01)
    errors = ""

    def wait_for(text: str) -> None:
        nonlocal errors
        deadline = time.monotonic() + 60
        while errors.count(text) < 2:
            assert time.monotonic() < deadline, errors
            time.sleep(0.01)
            errors += capsys.readouterr().err

    with run_bar("checking the method"):
        wait_for("  … checking the method, ")
    with download_bar() as bar:
        bar.begin("images.zip", 4_000_000)
        bar.advance(1_000_000)
        wait_for("  … images.zip: 1.0 MB of 4.0 MB, ")
    with counter("building") as count:
        count("rows", 7)
        wait_for("  … rows: 7, ")


def test_json_stays_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_SILENCE", 0.001)
    with run_bar("checking the method", quiet=True):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
    assert shown._SILENCE <= 30


class _Notebook(Console):
    """As rich finds itself in a notebook."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, force_jupyter=True)
        self.is_jupyter = True

    def print(self, *objects: Any, **settings: Any) -> None:
        print(*objects)


def test_a_notebook_without_widgets_gets_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "Console", _Notebook)
    monkeypatch.setattr(shown, "find_spec", lambda name: None)
    monkeypatch.setattr(shown, "_SILENCE_IN_NOTEBOOKS", 0.01)
    said, deadline = "", time.monotonic() + 60
    with run_bar("checking the method"):
        while "  … checking the method, " not in said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            said += capsys.readouterr().out


def test_a_notebook_with_widgets_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "Console", _Notebook)
    monkeypatch.setattr(shown, "find_spec", lambda name: object())
    begun = []
    monkeypatch.setattr(Progress, "start", lambda self: begun.append(self.disable))
    with run_bar("checking the method"):
        pass
    assert begun == [False]

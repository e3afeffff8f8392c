"""What a method prints is seen where it is checked: methods under work are full of `print`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.testing import check_method
from tests.cli.support import MARGIN, harness

LINE = "    top ="


def printing(folder: Path, code: str) -> Path:
    (folder / "mine.py").write_text("import os, sys\n" + MARGIN.replace(LINE, f"    {code}\n{LINE}"))
    return folder / "mine.py"


def test_check_shows_it(tmp_path: Path) -> None:
    printing(
        tmp_path, "print('shape', tuple(outputs.logits.shape), '[bold]\\x1b[31m'); print('aside', file=sys.stderr)"
    )
    done = harness("check", "mine.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    said = done.stdout.partition("  the method printed:\n")[2]
    assert "    shape (16, " in said
    assert "[bold] [31m" in said, "as it was printed, but nothing that a terminal obeys"
    assert "    aside\n" in said


def test_also_of_a_method_that_kills_its_process(tmp_path: Path) -> None:
    printing(tmp_path, "print('last words', flush=True); os._exit(3)")
    done = harness("check", "mine.py", folder=tmp_path)
    assert done.returncode == 1
    assert "    last words\n" in done.stdout


def test_the_end_of_very_much(tmp_path: Path) -> None:
    printing(tmp_path, "[print('line', number) for number in range(400)]")
    done = harness("check", "mine.py", folder=tmp_path)
    assert "the method printed (the last 50 of " in done.stdout
    assert done.stdout.count("    line ") == 50
    assert "    line 399\n" in done.stdout


def test_a_method_that_prints_nothing(tmp_path: Path) -> None:
    printing(tmp_path, "pass")
    assert "printed" not in harness("check", "mine.py", folder=tmp_path).stdout


def test_tests_of_a_users_own_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_method(printing(tmp_path, "print('here I am')"))
    assert "here I am" in capsys.readouterr().out

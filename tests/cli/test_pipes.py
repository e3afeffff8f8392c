"""Who reads a command's output may stop early, as `head` does: the command goes on, and ends as it would have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import write_toy

MAIN = (sys.executable, "-c", "from harness.cli import main; main()")


def closed_early(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and errors of a command whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*MAIN, *arguments],
            cwd=folder,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HARNESS_CACHE": str(folder / "cache")},
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("verb", [("list",), ("board", "show", "confidence-mnist@2"), ("--help",)])
def test_what_only_prints(verb: tuple[str, ...], tmp_path: Path) -> None:
    assert closed_early(*verb, folder=tmp_path) == (0, "")


def test_a_run_is_sealed(tmp_path: Path) -> None:
    write_toy(tmp_path)
    code, errors = closed_early("evaluate", "margin.py", "--benchmark", "toy.toml", folder=tmp_path)
    assert (code, "Error" in errors, "error:" in errors) == (0, False, False), errors
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 1


def test_a_mistake_stays_one(tmp_path: Path) -> None:
    code, errors = closed_early("show", "nowhere", folder=tmp_path)
    assert code == 2
    assert errors.startswith("error: ")

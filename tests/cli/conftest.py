from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.support import harness, write_toy
from tests.conftest import Made


@pytest.fixture
def evaluated(made_once: Made, tmp_path: Path) -> Path:
    """A folder of its own for the test with what `write_toy` wrote, and `margin.py` evaluated."""

    def evaluate(folder: Path) -> None:
        write_toy(folder)
        done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=folder)
        assert done.returncode == 0, done.stderr

    return shutil.copytree(made_once("evaluated-toy", evaluate), tmp_path / "evaluated")

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data import catalog
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from tests.boards.support import write_checkout
from tests.boards.workshop import own_checkout


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    """The toy benchmark of a checkout in `tmp_path`, with a cache of its own."""
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return write_checkout(tmp_path)


@pytest.fixture
def checkout(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the `template` that a module makes once."""
    return own_checkout(template, tmp_path, monkeypatch)


@pytest.fixture
def run(checkout: Path) -> RunResult:
    """The one run in it."""
    (folder,) = (checkout / "runs").iterdir()
    return RunResult.open(folder)

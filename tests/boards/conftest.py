from __future__ import annotations

from pathlib import Path

import pytest

from harness.data import catalog
from harness.data.catalog import LoadedBenchmark
from tests.boards.support import write_checkout


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    """The toy benchmark of a checkout in `tmp_path`, with a cache of its own."""
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return write_checkout(tmp_path)

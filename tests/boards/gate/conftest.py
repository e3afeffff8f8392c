from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.data import catalog
from tests.boards.gate.support import write_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, never changed."""
    root = tmp_path_factory.mktemp("template")
    write_template(root)
    return root


@pytest.fixture
def checkout(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, in which the harness finds its benchmarks and submissions."""
    root = tmp_path / "checkout"
    for name in ("leaderboards", "submissions", "datasets"):
        shutil.copytree(template / name, root / name)
    monkeypatch.setattr(catalog, "_PACKAGE", root / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return root


@pytest.fixture
def good(checkout: Path) -> Path:
    """A submission that is accepted."""
    return checkout / "submissions" / "toy@1" / "margin"

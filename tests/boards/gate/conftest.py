from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.boards.gate.support import git, write_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, never changed."""
    root = tmp_path_factory.mktemp("template")
    write_template(root)
    return root


@pytest.fixture
def good(checkout: Path) -> Path:
    """A submission that is accepted."""
    return checkout / "submissions" / "toy@1" / "margin"


@pytest.fixture
def repository(checkout: Path) -> Path:
    """`main` holds the baselines; the submission `margin` lies beside the checkout."""
    shutil.move(checkout / "submissions" / "toy@1" / "margin", checkout.parent / "margin")
    (checkout / "harness").mkdir()
    (checkout / "harness" / "code.py").write_text("x = 1\n")
    git(checkout, "init", "-q", "-b", "main")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "main")
    git(checkout, "checkout", "-q", "-b", "request")
    return checkout

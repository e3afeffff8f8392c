from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boards.gate import validate
from tests.boards.gate.support import git, write_template


@pytest.fixture(autouse=True)
def judged_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process is for is tested in `test_bounded`."""
    monkeypatch.setattr(
        "harness.boards.gate.bounded._in_child",
        lambda folder, changes, fetch, bounds: validate(folder, changes=changes, fetch=fetch),
    )


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

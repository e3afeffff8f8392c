"""The scripts of this folder, which are run by hand, still find what they measure."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("test_", "__")))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_finds_what_it_imports(script: Path) -> None:
    assert callable(runpy.run_path(str(script))["main"])


def test_what_has_a_limit_can_be_set_up() -> None:
    limits = runpy.run_path(str(Path(__file__).parent / "limits.py"))["LIMITS"]
    assert limits
    for make in limits:
        assert callable(make())

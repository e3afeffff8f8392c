"""The scripts of this folder, which are run by hand, still find what they measure."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.performance.bench_results import Results, Row

SHARED = "bench_results"
SCRIPTS = sorted(path for path in Path(__file__).parent.glob("[!_]*.py") if not path.stem.startswith(("test_", SHARED)))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_finds_what_it_imports(script: Path) -> None:
    assert callable(runpy.run_path(str(script))["main"])


def test_what_has_a_limit_can_be_set_up() -> None:
    limits = runpy.run_path(str(Path(__file__).parent / "limits.py"))["LIMITS"]
    assert limits
    for make in limits:
        assert callable(make())


def test_results_say_what_was_missed(tmp_path: Path) -> None:
    results = Results("Boards", ("numpy", "no-such-package"))
    assert len(results.table("board", "s", "limit", [Row("whole", 10.0, 20.0), Row("one row", 4.0, 2.0)])) == 2
    results.write(tmp_path, "boards")
    page = (tmp_path / "boards.md").read_text()
    assert "numpy 2" in page
    assert "no-such-package" not in page
    assert "| whole | 10 | 20 | 2.00 | 1 | reached |" in page
    assert "| one row | 4 | 2 | 0.50 | 1 | **missed** |" in page
    assert "<svg" in (tmp_path / "boards.svg").read_text()

"""Runs that are refused before any unit has ended: one sentence, and no folder that looks like a lost run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.execution.evaluate import Request, can_run, evaluate, nothing_left_if_refused
from harness.execution.run_files import JOURNAL
from harness.spec.errors import UsageError
from harness.storage import Journal
from tests.boards.workshop import GAP

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if a package were not installed, for those who look for it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))


def test_a_missing_extra_is_said_once_before_any_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    sentence = r"occlusion cannot run here: .*needs captum; install it with: pip install 'reliabench\[attribution\]'"
    with pytest.raises(UsageError, match=sentence):
        evaluate(Request("occlusion", "attribution-mnist", out=tmp_path / "runs", limit=2, device="cpu"))
    assert list(tmp_path.glob("runs/*")) == []


def test_a_package_that_a_method_of_ones_own_imports_is_named(tmp_path: Path) -> None:
    (tmp_path / "gap.py").write_text("import no_such_package\n" + GAP)
    with pytest.raises(UsageError, match=r"gap cannot run here: No module named 'no_such_package' \(line 1\)"):
        evaluate(Request(str(tmp_path / "gap.py"), "confidence-mnist", out=tmp_path / "runs", device="cpu"))
    assert list(tmp_path.glob("runs/*")) == []


def test_a_benchmark_whose_package_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nnunetv2")
    with pytest.raises(UsageError, match=r"needs nnunetv2, which is not installed: pip install 'reliabench\[query\]'"):
        evaluate(Request("random-sampling", "query-mni152", out=tmp_path / "runs", device="cpu"))
    assert list(tmp_path.glob("runs/*")) == []
    assert not can_run(Request("random-sampling", "query-mni152", out=tmp_path / "runs", device="cpu"))


def test_only_what_the_method_applies_to_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: find("json" if name == "nnunetv2" else name))
    monkeypatch.setattr("harness.execution.evaluate.require_data", lambda protocol: None)
    source = (
        "import numpy as np\nfrom harness import query_strategy\n\n\n"
        "@query_strategy(version='1', tasks=({tasks},))\ndef first(pool, size, rng):\n    return np.arange(size)\n"
    )

    def runs(tasks: str) -> bool:
        (tmp_path / "first.py").write_text(source.replace("{tasks}", tasks))
        return can_run(Request(str(tmp_path / "first.py"), "query-mni152", out=tmp_path / "runs", device="cpu"))

    assert runs("'segmentation'")
    assert not runs("'classification'")

    def absent(protocol: Any) -> None:
        raise UsageError("its data are not here")

    monkeypatch.setattr("harness.execution.evaluate.require_data", absent)
    assert not runs("'segmentation'")


@pytest.mark.parametrize(
    ("records", "there"),
    [([], False), ([{"session": "now"}], False), ([{"session": "now"}, {"unit": {}}], True)],
    ids=["nothing", "begun", "a unit"],
)
def test_a_refused_run_leaves_its_folder_only_for_units_that_ended(
    records: list[dict[str, Any]], there: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def refuse() -> None:
        with nothing_left_if_refused(folder):
            (folder / "jobs" / "begun").mkdir(parents=True)
            with Journal.open(folder / JOURNAL) as journal:
                for record in records:
                    journal.append(record)
            raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        refuse()
    assert folder.exists() == there


def test_a_folder_that_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UsageError, match="no"), nothing_left_if_refused(tmp_path):
        raise UsageError("no")
    assert (tmp_path / "notes").read_text() == "mine"

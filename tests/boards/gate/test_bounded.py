"""A folder is judged in a process of its own, and what that cannot do is one sentence."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from harness.boards.gate import bounded, validate
from harness.boards.gate.bounded import Bounds, validate_bounded
from harness.boards.submissions import submissions_folder
from harness.execution.child import ChildProcess

BENCHMARK = "query-mnist@2"


@pytest.fixture(autouse=True)
def judged_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not here."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def row(tmp_path: Path) -> Path:
    """A submission of this repository, elsewhere."""
    for name in ("bald", "sources"):
        shutil.copytree(submissions_folder(BENCHMARK) / name, tmp_path / BENCHMARK / name)
    return tmp_path / BENCHMARK / "bald"


def test_it_says_what_the_gate_says(row: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(row.parent)
    assert validate_bounded(Path("bald")) == validate(row).model_copy(update={"folder": "bald"})
    (row / "README.md").write_text("\u202e")
    assert validate_bounded(row) == validate(row)
    assert not validate_bounded(row).accepted


def said(folder: Path, bounds: Bounds) -> str:
    (finding,) = validate_bounded(folder, bounds=bounds).findings
    assert (finding.rule, finding.severity) == ("limits", "refused")
    return finding.sentence


def test_what_takes_too_long_is_ended(row: Path) -> None:
    assert said(row, Bounds(seconds=0.01)) == "judging it takes more than the 0.01 s allowed."


def test_what_needs_too_much_memory_is_refused(row: Path) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system tells no process its size")
    assert "0.03 GiB of memory allowed" in said(row, Bounds(gibibytes=0.03)) or "could not be judged" in said(
        row, Bounds(gibibytes=0.03)
    )


def test_a_crash_of_native_code_is_a_refusal(row: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crashing(ChildProcess):
        def __init__(self, module: str, clean: bool) -> None:
            super().__init__(module, clean=clean)
            os.kill(self.pid, signal.SIGSEGV)

    monkeypatch.setattr(bounded, "ChildProcess", Crashing)
    assert said(row, Bounds()) == (
        "the process that read it ended by signal 11: it needs more than the 600 s or the 8 GiB of memory allowed, "
        "or one of its files made it crash."
    )


def test_nothing_beside_the_submission_is_imported(row: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process starts in a checkout of a stranger's making."""
    for name in ("json", "numpy", "sitecustomize", "harness"):
        (row.parent / f"{name}.py").write_text(f"open({str(row.parent / 'sprung')!r}, 'w')\n")
    monkeypatch.chdir(row.parent)
    assert validate_bounded(row) == validate(row)
    assert not (row.parent / "sprung").exists()

"""The submissions of this repository pass their own gate, and a forged one of them does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boards.gate import validate, validate_all
from harness.boards.submissions import submissions_folder
from tests.boards.gate.support import arrays_of, change_outputs, said

CONFIDENCE, ATTRIBUTION, META = "confidence-mnist@2", "attribution-mnist@1", "meta-mnist@1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "name", [f"{CONFIDENCE}/msr", f"{CONFIDENCE}/oracle", f"{ATTRIBUTION}/raw-attention", f"{META}/sparseness"]
)
def test_some_of_them(name: str) -> None:
    benchmark, method = name.split("/")
    report = validate(submissions_folder(benchmark) / method, standing=True)
    assert report.findings == ()
    assert bool(report.as_reported) == (benchmark == ATTRIBUTION), "maps are not stored, confidences and scores are"


@pytest.mark.slow
def test_all_of_them() -> None:
    reports = {each.folder: each for each in validate_all()}
    assert len(reports) > 50
    assert {folder: each.findings for folder, each in reports.items() if not each.accepted} == {}


def copied(root: Path, benchmark: str, method: str) -> Path:
    """A submission with the source that it shares with others."""
    for name in (method, "sources"):
        shutil.copytree(submissions_folder(benchmark) / name, root / benchmark / name)
    return root / benchmark / method


def test_polished_scores_of_single_samples(tmp_path: Path) -> None:
    """Also where scores are as reported, claims are those that the stored scores give."""
    folder = copied(tmp_path, ATTRIBUTION, "saliency")
    arrays = arrays_of(folder)
    name = next(each for each in arrays if each.endswith("score.sparseness"))
    arrays[name] = (1 + arrays[name]) / 2
    change_outputs(folder, arrays)
    model, study, _ = name.split("--")
    findings = said(folder)
    # It was stored before submissions had hashes of their maps, so as a new one it is refused for that too.
    assert [each.split(":")[0] for each in findings] == ["refused maps", "refused metrics", "refused summary"]
    assert findings[1].startswith(f"refused metrics: sparseness of {study} · {model} is claimed as 0.")


def test_a_metric_whose_stored_scores_were_polished(tmp_path: Path) -> None:
    folder = copied(tmp_path, META, "sparseness")
    arrays = arrays_of(folder)
    name = next(each for each in arrays if each.endswith("cnn3d--volume--scores"))
    arrays[name][-2:] = arrays[name].min() - 1  # the rows that know nothing
    change_outputs(folder, arrays)
    findings = said(folder)
    assert {each.split(":")[0] for each in findings} == {"refused metrics", "refused summary"}
    assert any("sanity of volume · cnn3d is claimed as" in each for each in findings)

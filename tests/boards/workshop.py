"""A checkout in miniature whose benchmark pins its files, and runs of methods that its tests can submit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harness.boards.disclosure import Disclosure
from harness.boards.submissions import write_submission
from harness.data import catalog
from harness.data.catalog import load_protocol
from harness.execution import environment
from harness.execution.evaluate import Request, prepare, run
from harness.execution.run_result import RunResult
from harness.spec.result import RunDocument
from harness.storage import content_id, file_id, write_json
from tests.boards.support import MODELS, write_checkout

GAP = """
from harness import confidence_score

@confidence_score(version="1.0")
def gap(outputs):
    top = outputs.probabilities.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]
"""
TOLD = Disclosure(("A. Contributor",), "Apache-2.0", "none: it is known to everybody", "none", "2 cores, no GPU")
TODAY = date(2026, 2, 3)


def write_workshop(root: Path, metrics: str = '"augrc"') -> None:
    """`leaderboards/toy/1` with pinned tables, and empty `submissions` and `datasets`."""
    path = write_checkout(root).path
    text = path.read_text().replace('["augrc"]', f"[{metrics}]")
    for model in MODELS:
        pin = f'path = "{model}.npz", sha256 = "{file_id(path.parent / f"{model}.npz")}"'
        text = text.replace(f'path = "{model}.npz"', pin)
    path.write_text(text)


def evaluate(root: Path, source: str, name: str = "gap") -> RunResult:
    """A sealed run of a method that is a file with this source, or of a baseline where there is none."""
    method = root / f"{name}.py"
    if source:
        method.write_text(source)
    benchmark = root / "leaderboards" / "toy" / "1" / "benchmark.toml"
    target = str(method) if source else name
    return run(prepare(Request(target, str(benchmark), out=root / "runs", device="cpu", workers=1)))


def evaluate_clean(root: Path, source: str, name: str = "gap") -> RunResult:
    """The run of a harness that has nothing uncommitted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "git_state", lambda: ("0" * 40, False))
        return evaluate(root, source, name)


def store(root: Path, source: str, name: str = "gap") -> Path:
    """The submission of a real run."""
    result = evaluate_clean(root, source, name)
    assert result.complete, result.failed
    units, track = result.units(load_protocol(root / "leaderboards" / "toy" / "1" / "benchmark.toml"))
    folder = root / "submissions" / "toy@1" / name
    write_submission(result, track, units, folder, TOLD, TODAY)
    return folder


def own_checkout(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a checkout, in which the harness finds its benchmarks and submissions, and a cache of its own."""
    root = Path(shutil.copytree(template, tmp_path / "checkout"))
    monkeypatch.setattr(catalog, "_PACKAGE", root / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def forged(result: RunResult, change: Callable[[dict[str, Any]], object]) -> RunResult:
    """The run with a changed document, sealed anew."""
    document = json.loads((result.folder / "run.json").read_text())
    change(document)
    run = RunDocument.model_validate(document)
    write_json(result.folder / "run.json", run.model_copy(update={"seal": content_id(run.sealed_content)}).canonical())
    return RunResult.open(result.folder)


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

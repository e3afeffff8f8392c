"""A kind of method that the harness does not know: a package outside of it brings one, and every verb takes it.

The package is installed as users install it; its methods run in real workers. No room of the harness knows of it.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.boards.gate import validate
from harness.data import catalog
from harness.execution import environment
from harness.metrics import facts
from harness.spec import kinds
from harness.storage import file_id

PLUGIN = Path(__file__).with_name("plugin")
BENCHMARK = """
schema_version = 1
id = "regression-toy"
version = 1
title = "A regression ensemble"
task = "regression-uncertainty"
bootstrap = { replicates = 100 }
studies = [{ id = "near", group = "near", rows = [0, 80] }, { id = "far", group = "far", rows = [80, 160] }]

[[source.models]]
id = "one"
seed = 1
"""
SPREAD = '''
from regression_uncertainty import uncertainty_score


@uncertainty_score(version="1.0")
def spread(predictions):
    """Standard deviation over members."""
    return predictions.std(axis=0)
'''
FIRST = SPREAD.replace("def spread", "def first").replace("predictions.std(axis=0)", "abs(predictions[0])")
TOLD = ["--author", "A. N. Author", "--licence", "Apache-2.0", "--citation", "none", "--training-data", "none"]
Verb = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package beside the harness: workers import from nowhere else."""
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("plugin") / "source")  # pip leaves its build there
    pip("install", "--no-deps", "--no-build-isolation", "--no-index", str(source))
    try:
        importlib.invalidate_caches()
        yield
    finally:
        pip("uninstall", "--yes", "regression-uncertainty")


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=240)


@pytest.fixture
def verb(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Verb]:
    """`harness ARGUMENTS` in a checkout that has one benchmark, of the installed kind: exit code and what it prints."""
    folder = tmp_path / "leaderboards" / "regression-toy" / "1"
    for each in (folder, tmp_path / "submissions", tmp_path / "datasets"):
        each.mkdir(parents=True)
    rng = np.random.default_rng(0)
    width = rng.uniform(0.1, 2.0, size=160)
    np.savez(folder / "one.npz", predictions=width * rng.normal(size=(5, 160)), targets=width * rng.normal(size=160))
    pin = f'table = {{ path = "one.npz", sha256 = "{file_id(folder / "one.npz")}" }}\n'
    (folder / "benchmark.toml").write_text(BENCHMARK + pin)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setattr(  # a process of its own would look into the checkout that the harness runs from
        "harness.boards.gate.bounded._in_child",
        lambda folder, changes, fetch, bounds: validate(folder, changes=changes, fetch=fetch),
    )
    monkeypatch.setattr(environment, "git_state", lambda: ("0" * 40, False))
    monkeypatch.chdir(tmp_path)
    for name, source in {"spread": SPREAD, "first": FIRST}.items():
        (tmp_path / f"{name}.py").write_text(source)

    def run(*arguments: str) -> tuple[int, str]:
        from harness.cli import main

        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    for cached in (kinds.kinds, facts.metric_facts):
        cached.cache_clear()
    yield run
    for cached in (kinds.kinds, facts.metric_facts):
        cached.cache_clear()


def done(result: tuple[int, str]) -> str:
    code, text = result
    assert code == 0, text
    return text


@pytest.mark.timeout(300)
def test_every_verb_takes_a_kind_that_only_a_package_brings(verb: Verb, tmp_path: Path) -> None:
    assert "answers with finite numbers" in done(verb("check", "spread.py"))
    assert "error_correlation" in done(verb("list", "metrics"))
    planned = json.loads(done(verb("plan", "spread.py", "--json")))
    assert [unit["study"] for unit in planned["units"].values()] == ["near", "far"]
    rows = {}
    for name in ("spread", "first"):
        evaluated = json.loads(done(verb("evaluate", f"{name}.py", "--json", "--workers", "1")))
        run = Path(evaluated["folder"])
        rows[name] = {row["study"]: row for row in evaluated["run"]["summary"]}
        assert ">Uncertainties</h2>" in (run / "report.html").read_text()
        assert "error correlation" in done(verb("show", str(run)))
        assert "Every score is the sealed one" in done(verb("replay", str(run)))
        done(verb("submit", str(run), *TOLD))
        assert "accepted" in done(verb("validate", f"submissions/regression-toy@1/{name}"))
    assert "spread came out the same" in done(verb("reproduce", "regression-toy@1", "--workers", "1"))
    done(verb("board", "build", "regression-toy@1"))
    board = json.loads((tmp_path / "leaderboards/regression-toy/1/board.json").read_text())
    assert [row["method"] for row in board["rows"]] == ["spread", "first"]
    for row in board["rows"]:
        for study, cell in row["cells"].items():
            if study != "mean":
                shown = rows[row["method"]][study]
                numbers = [float(f"{100 * shown[end]:.6g}") for end in ("value", "low", "high")]
                assert [cell[end] for end in ("value", "low", "high")] == numbers
    done(verb("board", "lock", "regression-toy@1"))
    done(verb("board", "check", "regression-toy@1"))
    pair = [f"regression-toy@1/{name}" for name in ("spread", "first")]
    assert "near" in done(verb("compare", *pair))
    assert "spread" in done(verb("board", "export", "regression-toy@1", "--format", "latex"))
    assert "spread" in done(verb("board", "show", "regression-toy@1"))
    done(verb("cite", "submissions/regression-toy@1/spread"))


def test_a_method_of_no_installed_kind_is_refused_in_one_sentence(verb: Verb, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(BENCHMARK.replace("regression-uncertainty", "telepathy"))
    code, text = verb("evaluate", "spread.py", "--benchmark", "other.toml")
    assert code == 2
    assert "no kind of method is called 'telepathy'; there are: attribution" in " ".join(text.split())

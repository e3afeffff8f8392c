"""`harness validate` as its users see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from harness.cli.validate import validate
from harness.spec.errors import UsageError
from tests.boards.gate.support import change_about, change_run, git


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(validate)
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_accepted(good: Path) -> None:
    result = run(good)
    assert (result.exit_code, result.output) == (0, f"{good}: accepted\n")


def test_refused(good: Path) -> None:
    change_about(good, hardware="")
    result = run(good, good.parent / "msr")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{good}: refused: disclosure: submission.toml lacks hardware: say what it ran on.",
        f"{good.parent / 'msr'}: accepted",
    ]


def test_flagged_is_accepted(good: Path) -> None:
    change_run(good, lambda document: document["environment"].update(git_dirty=None))
    result = run(good)
    assert result.exit_code == 0
    assert ": flagged: provenance: " in result.output.splitlines()[0]


def test_json(good: Path) -> None:
    change_about(good, hardware="")
    result = run(good, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output) == [
        {
            "folder": str(good),
            "accepted": False,
            "as_reported": [],
            "findings": [
                {
                    "rule": "disclosure",
                    "severity": "refused",
                    "sentence": "submission.toml lacks hardware: say what it ran on.",
                }
            ],
        }
    ]


def test_all_and_changed(good: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--all").output.count(": accepted") == 4
    git(checkout, "init", "-q", "-b", "main")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "all")
    monkeypatch.chdir(good)
    assert run("--changed-since", "main").output == "no submissions to validate\n"
    change_about(good, hardware="4 cores")
    result = run("--changed-since", "main")
    assert result.exit_code == 0
    assert "replaces an earlier state" in result.output


@pytest.mark.parametrize("arguments", [[], ["--all", "--changed-since", "main"], ["some", "--all"]])
def test_one_of_three(arguments: list[str]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert "one of the three" in str(result.exception)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    result = run(tmp_path / "gone")
    assert isinstance(result.exception, UsageError)
    assert "gone does not exist" in str(result.exception)


def test_help_has_an_example() -> None:
    assert "harness validate submissions/confidence-mnist@2/my-score" in run("--help").output

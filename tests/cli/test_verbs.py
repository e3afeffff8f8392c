"""Every verb: help with an example, the right output, the right exit code."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest

from harness.execution.fence import choose, described
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")


def test_help_is_printed_with_its_example(tmp_path: Path) -> None:
    done = harness("board", "export", "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Example:" in done.stdout


def test_evaluate_show_and_report(tmp_path: Path) -> None:
    write_toy(tmp_path)
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AUGRC" in done.stdout
    assert "this benchmark has no board" in done.stdout
    (run,) = (tmp_path / "runs").iterdir()
    assert str(run.relative_to(tmp_path)) in done.stdout
    assert f"Next:   harness show {run.relative_to(tmp_path)}" in done.stdout
    assert "none was run" not in done.stdout
    said = harness("show", run, folder=tmp_path).stdout
    assert "harness show" not in said
    assert f"Next:   harness report {run} --open" in said
    page = (run / "report.html").read_text()
    assert "Generalized risk by coverage" in page
    again = harness("show", run, "--json", folder=tmp_path)
    shown = json.loads(again.stdout)
    assert shown["run"] == json.loads((run / "run.json").read_text())


EVALUATE = ("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1")


def test_a_second_evaluation_does_nothing_twice(evaluated: Path) -> None:
    (sealed,) = evaluated.glob("runs/*/run.json")
    one = json.loads(sealed.read_text())
    done = harness(*EVALUATE, folder=evaluated)
    assert "1 of 1 units are done already" in done.stderr
    assert "(all units were there already, none was run; --fresh runs them again)" in done.stdout
    two = json.loads(sealed.read_text())
    first, second = one.pop("timing"), two.pop("timing")
    assert (first["resumed"], second["resumed"]) == (0, 1)
    assert first["unit_seconds"] == second["unit_seconds"]
    assert one == two


def test_other_code_under_the_same_name_and_version_is_said(tmp_path: Path) -> None:
    write_toy(tmp_path)
    method = tmp_path / "margin.py"
    assert "other code" not in harness(*EVALUATE, folder=tmp_path).stdout
    (first,) = (tmp_path / "runs").iterdir()
    method.write_text(method.read_text() + "\n# changed\n")
    shown = harness(*EVALUATE, folder=tmp_path).stdout
    assert (
        f"Note: {first.relative_to(tmp_path)} is margin 1.0 with other code; a board of runs shows the newest" in shown
    )
    method.write_text(method.read_text().replace('"1.0"', '"2.0"'))
    assert "2.0" in method.read_text()
    assert "other code" not in harness(*EVALUATE, folder=tmp_path).stdout


def test_fresh_starts_over(evaluated: Path) -> None:
    again = harness(*EVALUATE, "--fresh", "--json", folder=evaluated)
    assert json.loads(again.stdout)["run"]["timing"]["resumed"] == 0


def test_limit_makes_a_rehearsal(tmp_path: Path) -> None:
    write_toy(tmp_path)
    done = harness("evaluate", "msr", "--benchmark", "toy.toml", "--limit", "50", "--json", folder=tmp_path)
    run = json.loads(done.stdout)["run"]
    assert run["spec"]["submittable"] is False
    assert {record["n"] for unit in run["units"] for record in unit["records"]} == {50}


def test_dry_run_and_plan_run_nothing(tmp_path: Path) -> None:
    write_toy(tmp_path)
    dry = harness("evaluate", "msr", "--benchmark", "toy.toml", "--dry-run", "--json", folder=tmp_path)
    plan = harness("plan", "msr", "--benchmark", "toy.toml", "--json", folder=tmp_path)
    assert json.loads(dry.stdout) == json.loads(plan.stdout)
    assert len(json.loads(plan.stdout)["units"]) == 1
    assert not (tmp_path / "runs").exists()


def test_check_passes_and_fails(tmp_path: Path) -> None:
    write_toy(tmp_path)
    (tmp_path / "bad.py").write_text(
        "from harness import confidence_score\n\n@confidence_score(version='1')\ndef bad(outputs):\n    return outputs.logits\n"
    )
    good, bad = harness("check", "margin.py", folder=tmp_path), harness("check", "bad.py", folder=tmp_path)
    assert good.returncode == 0
    assert bad.returncode == 1
    assert "it returned shape (16, 4), expected (16,)" in bad.stdout


def test_doctor_reports_versions(tmp_path: Path) -> None:
    done = harness("doctor", "--json", folder=tmp_path)
    facts = json.loads(done.stdout)["facts"]
    assert {"torch", "numpy", "cache", "device", "offline", "free disk"} <= facts.keys()
    assert facts["fence"].startswith(described(choose("auto")))


@pytest.mark.parametrize("absent", ["nnunetv2", "captum"])
def test_doctor_only_names_an_extra_that_is_not_installed(
    absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, absent)
    done = harness("doctor", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    extra = {"nnunetv2": "query", "captum": "attribution"}[absent]
    assert re.search(rf"– optional, not installed: .*{absent}.*: pip install 'reliabench\[{extra}\]'", done.stdout)
    assert "✓ ready" in done.stdout
    facts = json.loads(harness("doctor", "--json", folder=tmp_path).stdout)
    assert not facts["problems"]
    assert any(absent in note for note in facts["notes"])


def test_doctor_refuses_a_machine_without_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "scipy")
    done = harness("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert "✗ scipy is not installed: pip install scipy" in done.stdout


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As where a distribution is not installed."""
    known = metadata.version

    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)


def test_doctor_tries_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.methods.baselines.confidence.msr.msr", lambda outputs: outputs.logits)
    done = harness("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert "a method cannot be run: it returned shape (16, 4), expected (16,)" in done.stdout


def test_doctor_tries_the_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    done = harness("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert f"the cache folder {tmp_path / 'cache'} cannot be written (File exists)" in done.stdout


@pytest.mark.parametrize("kind", ["benchmarks", "methods", "metrics"])
def test_lists(kind: str, tmp_path: Path) -> None:
    rows = json.loads(harness("list", kind, "--json", folder=tmp_path).stdout)
    assert rows
    expected = {"benchmarks": "confidence-mnist@2", "methods": "mahalanobis", "metrics": "augrc"}[kind]
    assert expected in {next(iter(row.values())) for row in rows}


def test_showing_a_submission_names_what_does(tmp_path: Path) -> None:
    folder = tmp_path / "msr"
    folder.mkdir()
    (folder / "submission.toml").write_text("")
    done = harness("show", folder, folder=tmp_path)
    assert done.returncode == 2
    assert f"is a submission; its row: harness board show, its scores again: harness validate {folder}" in done.stderr


def test_several_methods_in_turn(tmp_path: Path) -> None:
    write_toy(tmp_path)
    several = ("evaluate", "margin.py", "msr", "margin", "--benchmark", "toy.toml")
    done = harness(*several, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(folders) == 3
    assert done.stdout.count("\nRun: ") == 3
    compare = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  harness compare")]
    assert len(compare) == 2
    assert "msr" in harness(*compare[0], folder=tmp_path).stdout
    found = json.loads(harness(*several, "--json", folder=tmp_path).stdout)
    assert [each["run"]["spec"]["method"]["name"] for each in found] == ["margin", "msr", "margin"]


def test_of_several_methods_none_is_run_before_all_are_found(tmp_path: Path) -> None:
    write_toy(tmp_path)
    done = harness("evaluate", "margin.py", "msrr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "did you mean msr?" in done.stderr
    assert not (tmp_path / "runs").exists()

"""A mistake gives one clear line and exit code 2; damage gives exit code 3; no traceback without --debug."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

HEADER = "from harness import confidence_score\n\n"
MISTAKES = {
    "unknown metric": (("evaluate", "msr", "--benchmark", "metric.toml"), "did you mean augrc"),
    "metric with options": (("plan", "msr", "--benchmark", "options.toml"), "risk_at_coverage needs coverage"),
    "probabilities called logits": (("evaluate", "msr", "--benchmark", "soft.toml"), 'say holds = "probabilities"'),
    "no such file": (("evaluate", "no_such.py"), "there is no file no_such.py; check the path."),
    "misspelt file": (("evaluate", "tow.py"), "there is no file tow.py; did you mean two.py?"),
    "no such baseline": (("evaluate", "margn"), "did you mean margin"),
    "no such plug-in": (("evaluate", "nobody/nothing"), "no installed plug-in"),
    "no method in file": (("evaluate", "empty.py"), "@confidence_score"),
    "syntax error": (("evaluate", "broken.py"), "broken.py, line 3"),
    "two methods": (("evaluate", "two.py"), "two.py:first"),
    "unknown benchmark": (("evaluate", "msr", "--benchmark", "confidence-mnst"), "did you mean confidence-mnist"),
    "no such benchmark file": (("evaluate", "msr", "--benchmark", "nowhere.toml"), "nowhere.toml does not exist"),
    "benchmark file of a name like no other": (
        ("evaluate", "msr", "--benchmark", "col.toml"),
        "the benchmark file col.toml does not exist; name one that ends in .toml, or a bundled one.",
    ),
    "misspelt benchmark file": (("evaluate", "msr", "--benchmark", "metrics.toml"), "did you mean metric.toml?"),
    "misspelt list": (("list", "method"), "no list is called 'method'; did you mean methods?"),
    "bad benchmark file": (("evaluate", "msr", "--benchmark", "bad.toml"), "bad.toml"),
    "limit of zero": (("evaluate", "msr", "--benchmark", "toy.toml", "--limit", "0"), "at least 1"),
    "more threads than cores": (
        ("evaluate", "msr", "--benchmark", "toy.toml", "--threads", "100000"),
        "--threads 100000 is more than this machine has cores to give",
    ),
    "memory in bytes": (
        ("plan", "msr", "--benchmark", "toy.toml", "--memory", "1e9", "--array", "slurm"),
        "--memory 1e+09 is more GiB than any machine has",
    ),
    "array with retries below 0": (
        ("plan", "msr", "--benchmark", "toy.toml", "--array", "slurm", "--retries", "-1"),
        "--retries must be a whole number of at least 0",
    ),
    "unknown device": (("evaluate", "msr", "--benchmark", "toy.toml", "--device", "tpu"), "auto, cpu or cuda"),
    "unknown fence": (
        ("evaluate", "msr", "--benchmark", "toy.toml", "--fence", "bubblewarp"),
        "did you mean bubblewrap",
    ),
    "nothing to read": (("check", "margin.py", "--allow-read", "nowhere"), "nowhere: there is no such file or folder"),
    "not a run": (("show", "."), "run.json is missing"),
    "validating a folder of submissions": (
        ("validate", "high"),
        "high holds submissions and is none; name one, such as high/msr, or use --all.",
    ),
    "validating two folders too high": (("validate", "higher"), "name one, such as higher/high/msr, or use --all."),
    "head that no model has": (("evaluate", "devries", "--benchmark", "toy.toml"), "head 'devries'"),
    "out is a file": (("evaluate", "margin.py", "--benchmark", "toy.toml", "--out", "margin.py"), "--out"),
}


@pytest.mark.parametrize(("free", "asked", "said"), [(16.0, "17", True), (16.0, "16", False), (4.0, "8", False)])
def test_a_limit_of_memory_beyond_what_is_free_is_said_to_be_none(folder, monkeypatch, free, asked, said):
    """Not of the default, 8 GiB, which a small machine does not have either."""
    monkeypatch.setattr("harness.execution.room.free_memory", lambda: free)
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--memory", asked, folder=folder)
    assert done.returncode == 0, done.stderr
    assert ("--memory 17 is more GiB than are free here (16): a method that takes all of them" in done.stderr) is said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy(tmp_path)
    (tmp_path / "empty.py").write_text("x = 1\n")
    for place in ("high/msr", "higher/high/msr"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "submission.toml").touch()
    (tmp_path / "broken.py").write_text(HEADER + "def f(:\n")
    one = "@confidence_score(version='1')\ndef {}(outputs):\n    return outputs.logits[:, 0]\n\n\n"
    (tmp_path / "two.py").write_text(HEADER + one.format("first") + one.format("second"))
    (tmp_path / "wrong.py").write_text(
        HEADER + "@confidence_score(version='1')\ndef wrong(outputs):\n    return outputs.logits[:, 0] * float('nan')\n"
    )
    toy = (tmp_path / "toy.toml").read_text()
    (tmp_path / "metric.toml").write_text(toy.replace('"failure_auroc"', '"augrcs"'))
    (tmp_path / "options.toml").write_text(toy.replace('"failure_auroc"', '"risk_at_coverage"'))
    (tmp_path / "soft.toml").write_text(toy.replace("table.npz", "soft.npz"))
    np.savez(tmp_path / "soft.npz", logits=np.full((400, 4), 0.25), labels=np.zeros(400, int))
    (tmp_path / "bad.toml").write_text("id = [\n")
    return tmp_path


@pytest.mark.parametrize(("words", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_one_clear_line_and_exit_code_two(words: tuple[str, ...], sentence: str, folder: Path) -> None:
    done = harness(*words, folder=folder)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1


def test_debug_shows_the_traceback(folder: Path) -> None:
    done = harness("evaluate", "no_such.py", "--debug", folder=folder)
    assert "Traceback" in done.stderr


def test_a_method_that_fails_the_check_ends_with_exit_code_one(folder: Path) -> None:
    done = harness("evaluate", "wrong.py", "--benchmark", "toy.toml", folder=folder)
    assert done.returncode == 1
    assert "invalid: the check failed: 16 of 16 confidences are NaN or infinite" in done.stdout
    said = " ".join(done.stdout.split())
    assert "It failed its check, so no unit was run; this run records that, and the mended method gets a run of" in said


def test_failed_units_end_with_exit_code_one(folder: Path) -> None:
    (folder / "late.py").write_text(
        HEADER + "@confidence_score(version='1')\ndef late(outputs):\n"
        "    assert len(outputs) in (1, 8, 16, 4096), 'too <b>many'\n    return outputs.logits[:, 0]\n"
    )
    done = harness("evaluate", "late.py", "--benchmark", "toy.toml", folder=folder)
    assert done.returncode == 1
    assert "AssertionError: too <b>many (line 5)" in done.stdout
    said = " ".join(done.stdout.split())
    assert "Next: run the same command again. A method that was changed gets a run of its own, with all units;" in said
    (report,) = folder.glob("runs/*/report.html")
    assert "AssertionError: too &lt;b&gt;many (line 5)" in report.read_text()


EVALUATE = ("evaluate", "margin.py", "--benchmark", "toy.toml")


def test_changed_outputs_end_with_exit_code_three(evaluated: Path) -> None:
    (outputs,) = evaluated.glob("runs/*/outputs/*.npz")
    with np.load(outputs, allow_pickle=False) as stored:
        better = stored["confidence"] + 1
    np.savez(outputs, confidence=better)
    done = harness(*EVALUATE, folder=evaluated)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_damaged_journal_ends_with_exit_code_three(evaluated: Path) -> None:
    (journal,) = evaluated.glob("runs/*/journal.log")
    data = bytearray(journal.read_bytes())
    data[40] ^= 1
    journal.write_bytes(data)
    done = harness(*EVALUATE, folder=evaluated)
    assert done.returncode == 3
    assert "Line 1" in done.stderr


def test_running_twice_at_once_is_refused(evaluated: Path) -> None:
    from harness.storage import RunLock

    (run,) = (evaluated / "runs").iterdir()
    with RunLock(run):
        done = harness(*EVALUATE, folder=evaluated)
    assert done.returncode == 2
    assert "error:" in done.stderr


def test_a_changed_summary_is_noticed(evaluated: Path) -> None:
    (sealed,) = evaluated.glob("runs/*/run.json")
    sealed.write_text(sealed.read_text().replace('"value": 0.', '"value": 0.0', 1))
    done = harness("show", sealed.parent, folder=evaluated)
    assert done.returncode == 3
    assert "changed after it was sealed" in done.stderr


def test_nothing_that_applies_is_not_success(folder: Path) -> None:
    toy = (folder / "toy.toml").read_text().replace('holds = "logits"', 'holds = "probabilities"')
    (folder / "soft.toml").write_text(toy.replace("table.npz", "soft.npz"))
    soft = np.random.default_rng(0).dirichlet(np.ones(4), size=400)
    np.savez(folder / "soft.npz", logits=soft, labels=np.arange(400) % 4)
    done = harness("evaluate", "mls", "--benchmark", "soft.toml", folder=folder)
    assert done.returncode == 2
    assert "mls cannot be applied in any of the 1 units of toy@1: this model does not offer logits" in done.stderr
    assert not (folder / "runs").exists()

"""What becomes a submission, what is refused and with which sentence, and that nothing is ever half there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from harness.boards import submit as boards
from harness.boards.baselines import submit_baselines
from harness.boards.build import build_board
from harness.boards.disclosure import disclose, found_hardware
from harness.boards.gate import validate
from harness.boards.submissions import read_about, read_submission
from harness.boards.submit import Submitted, checkout_of, require_submittable
from harness.cli import submit as verb
from harness.data.catalog import find_protocol
from harness.execution.evaluate import Listener
from harness.execution.run_result import RunResult
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays, write_text
from tests.boards.workshop import GAP, TODAY, TOLD, evaluate_clean, files, forged, write_workshop

pytestmark = pytest.mark.usefixtures("in_this_process")

FACTS = ("--author", "A", "--licence", "MIT", "--training-data", "none", "--citation", "none", "--hardware", "2 cores")
app = Typer()
app.command()(verb.submit)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, and a run by a harness that has nothing uncommitted."""
    root = tmp_path_factory.mktemp("template")
    write_workshop(root)
    assert evaluate_clean(root, GAP).complete
    return root


def submit(run: RunResult, checkout: Path, **facts: Any) -> Submitted:
    protocol = require_submittable(run, checkout_of(None))
    return boards.submit(run, protocol, replace(TOLD, **facts), checkout, TODAY)


def later(run: RunResult, version: str) -> RunResult:
    """The same method in another version, as its run would be."""

    def change(document: dict[str, Any]) -> None:
        document["spec"]["method"]["version"] = version
        document["id"] = "1" * 64

    return forged(run, change)


def test_a_submission_holds_what_boards_and_readers_need(run: RunResult, checkout: Path) -> None:
    submitted = submit(run, checkout)
    folder = checkout / "submissions" / "toy@1" / "gap"
    assert submitted.folder == folder
    assert submitted.report.accepted
    assert submitted.replaced is None
    assert sorted(files(checkout / "submissions")) == [
        f"toy@1/gap/{name}" for name in ("method.py", "outputs.npz", "run.json", "submission.toml")
    ]
    about = read_submission(folder).about
    assert (about.authors, about.licence, about.submitted) == (TOLD.authors, TOLD.licence, TODAY)
    assert (about.training_data, about.hardware, about.citation) == (
        TOLD.training_data,
        TOLD.hardware,
        TOLD.citation,
    )
    assert about.cost is not None
    assert about.cost.seconds == pytest.approx(sum(run.document.timing.unit_seconds.values()), abs=0.051)
    assert (folder / "method.py").read_text() == GAP
    assert validate(folder).accepted
    # The confidences are those of the benchmark's own logits, computed here.
    for model in ("one", "two"):
        with np.load(checkout / "leaderboards/toy/1" / f"{model}.npz", allow_pickle=False) as table:
            logits = table["logits"][table["set"] == "iid"]
        soft = np.sort(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)
        stored = read_arrays(folder / "outputs.npz")[f"{model}--iid--confidence"]
        np.testing.assert_allclose(stored, soft[:, -1] - soft[:, -2], rtol=1e-4, atol=1e-6)
    assert [row.method for row in build_board(find_protocol("toy@1")).rows] == ["gap"]


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "rehearsal": (lambda d: d["spec"].update(limit=50, submittable=False), "is a rehearsal (made with --limit)"),
    "unpinned": (lambda d: d["spec"].update(submittable=False), "does not pin its files by sha256"),
    "failed units": (lambda d: d["units"][1].update(status="timeout", reason="it hung"), "has 1 failed units"),
    "dirty": (lambda d: d["environment"].update(git_dirty=True), "changes that are not committed"),
    "unknown benchmark": (lambda d: d["spec"].update(benchmark="other@1"), "has no benchmark other@1"),
    "unknown version": (lambda d: d["spec"].update(benchmark="toy@2"), "has no benchmark toy@2"),
    "unknown hash": (lambda d: d["spec"].update(benchmark_hash="2" * 64), "does not know (its hash differs)"),
    "baseline": (lambda d: d["spec"]["method"].update(name="msr", origin="baseline"), "one of the harness's own"),
    "name of a baseline": (lambda d: d["spec"]["method"].update(name="msr"), "msr is the name of one of"),
    "name of the sources": (lambda d: d["spec"]["method"].update(name="sources"), "sources is the name of the folder"),
    "other metrics": (lambda d: d["units"][0].update(unit="3" * 64), "other versions of the metrics"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_board_takes_is_refused_with_the_reason(run: RunResult, checkout: Path, case: str) -> None:
    change, sentence = REFUSED[case]
    with pytest.raises(UsageError) as refusal:
        submit(forged(run, change), checkout)
    assert sentence in str(refusal.value)
    assert files(checkout / "submissions") == {}


def test_a_broken_seal_is_refused(run: RunResult, checkout: Path) -> None:
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    done = CliRunner().invoke(app, [str(run.folder), "--author", "A"])
    assert isinstance(done.exception, IntegrityError)
    assert "was changed after it was sealed" in str(done.exception)
    assert files(checkout / "submissions") == {}


def test_changed_answers_are_refused(run: RunResult, checkout: Path) -> None:
    first, second, *_ = sorted((run.folder / "outputs").iterdir())
    shutil.copyfile(first, second)
    with pytest.raises(IntegrityError, match="was changed after it was scored"):
        submit(run, checkout)
    assert files(checkout / "submissions") == {}


def test_what_the_gate_refuses_leaves_nothing(run: RunResult, checkout: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["units"][0]["records"][0]["value"] *= 1 + 1e-6

    refused = submit(forged(run, change), checkout)
    assert not refused.report.accepted
    assert [finding.rule for finding in refused.report.findings if finding.severity == "refused"] == ["metrics"]
    assert files(checkout / "submissions") == {}
    assert list((checkout / "submissions").iterdir()) == []


def test_a_name_belongs_to_its_authors(run: RunResult, checkout: Path) -> None:
    submit(run, checkout)
    before = files(checkout / "submissions")
    with pytest.raises(UsageError, match="the name gap is taken by a method of A"):
        submit(later(run, "2.0"), checkout, authors=("B. Stranger",))
    assert files(checkout / "submissions") == before


@pytest.mark.parametrize("version", ["1.0", "0.9", "1"])
def test_only_a_higher_version_replaces(run: RunResult, checkout: Path, version: str) -> None:
    submit(run, checkout)
    before = files(checkout / "submissions")
    with pytest.raises(UsageError, match=r"version 1.0 of gap is submitted already, so version"):
        submit(later(run, version), checkout)
    assert files(checkout / "submissions") == before


def test_a_higher_version_takes_the_place_and_says_so(run: RunResult, checkout: Path) -> None:
    folder = submit(run, checkout).folder
    write_text(folder / "README.md", "Of the old version.")  # nothing of it remains
    second = evaluate_clean(checkout, GAP.replace('"1.0"', '"1.10"').replace("top[:, 1]", "2 * top[:, 1]"))
    replaced = submit(second, checkout, authors=("a. contributor ", "C. Other"))
    assert replaced.replaced == "1.0"
    assert read_about(folder).method.version == "1.10"
    assert sorted(path.name for path in (checkout / "submissions").rglob("*")) == [
        *("gap", "method.py", "outputs.npz", "run.json", "submission.toml", "toy@1")
    ]


def test_the_same_run_with_other_facts_replaces_itself(run: RunResult, checkout: Path) -> None:
    submit(run, checkout)
    again = submit(run, checkout, citation="Contributor, 2026")
    assert again.replaced == "1.0"
    assert read_about(again.folder).citation == "Contributor, 2026"


def test_an_unreadable_neighbour_of_the_same_name_is_not_overwritten(run: RunResult, checkout: Path) -> None:
    folder = checkout / "submissions" / "toy@1" / "gap"
    folder.mkdir(parents=True)
    (folder / "submission.toml").write_text("method = [")
    with pytest.raises(UsageError, match="is there already and cannot be read"):
        submit(run, checkout)
    assert (folder / "submission.toml").read_text() == "method = ["


def test_a_kill_while_submitting_leaves_nothing(run: RunResult, checkout: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from harness.data import catalog; catalog._PACKAGE = Path(sys.argv[1]) / 'harness'\n"
        "import harness.boards.gate as gate\n"
        "gate.validate = lambda folder: (print('at the gate', flush=True), time.sleep(60))\n"
        "from datetime import date; from harness.boards import submit as boards\n"
        "from harness.execution.run_result import RunResult\n"
        "from tests.boards.workshop import TOLD\n"
        "run = RunResult.open(sys.argv[2]); root = Path(sys.argv[1])\n"
        "boards.submit(run, boards.require_submittable(run, root), TOLD, root, date(2026, 2, 3))\n"
    )
    before = files(checkout)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-c", code, str(checkout), str(run.folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at the gate\n"
        process.send_signal(signal.SIGKILL)
    assert files(checkout) == before
    assert not list((checkout / "submissions").iterdir())


def test_a_kill_between_the_last_two_steps_is_mended_by_the_next_submission(run: RunResult, checkout: Path) -> None:
    folder = submit(run, checkout).folder
    first = files(folder)
    aside = checkout / "submissions" / ".earlier-toy@1-gap"
    half = checkout / "submissions" / ".incoming-toy@1-gap"
    folder.rename(aside)
    half.mkdir()
    (half / "method.py").write_text("half")
    with pytest.raises(UsageError, match="taken"):
        submit(run, checkout, authors=("B. Stranger",))
    assert files(folder) == first, "it is still its authors'"
    submit(run, checkout)
    assert [path.name for path in (checkout / "submissions").iterdir()] == ["toy@1"]


def test_a_full_disk_puts_the_earlier_one_back(run: RunResult, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = submit(run, checkout).folder
    before = files(checkout / "submissions")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".incoming"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(Exception, match="No space left on device"):
        submit(run, checkout, citation="Contributor, 2026")
    assert files(checkout / "submissions") == before
    assert folder.is_dir()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no checkout of the harness"):
        checkout_of(tmp_path)


# Disclosure


def test_what_is_missing_is_asked_for_or_named() -> None:
    asked: list[tuple[str, str]] = []

    def ask(question: str, offered: str) -> str:
        asked.append((question, offered))
        return offered or "MIT"

    found = {"authors": "A. Contributor; B. Helper", "citation": "", "hardware": "2 cores"}
    told = disclose({"citation": "Doe, 2026", "training_data": "none"}, found, ask)
    assert [offered for _, offered in asked] == ["A. Contributor; B. Helper", "", "2 cores"]
    assert told.authors == ("A. Contributor", "B. Helper")
    assert (told.licence, told.citation, told.hardware) == ("MIT", "Doe, 2026", "2 cores")
    with pytest.raises(UsageError, match=r"add --licence, --citation, --training-data\.$"):
        disclose({}, found)
    with pytest.raises(UsageError, match="--author"):
        disclose({"licence": "MIT", "citation": "x", "training_data": "none", "authors": "  "}, {"hardware": "x"})


def test_hardware_is_found_on_this_machine() -> None:
    assert f"{os.cpu_count()} cores" in found_hardware()


# The verb


def test_the_verb_stores_a_run(run: RunResult, checkout: Path) -> None:
    done = CliRunner().invoke(app, [str(run.folder), *FACTS, "--into", str(checkout)])
    assert done.exit_code == 0, done.output
    assert f"Submission: {checkout}/submissions/toy@1/gap" in done.output
    assert read_about(checkout / "submissions/toy@1/gap").licence == "MIT"


def test_the_verb_asks_at_a_terminal(run: RunResult, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_at_terminal", lambda: True)
    done = CliRunner().invoke(app, [str(run.folder), "--author", "A", "--hardware", "x"], input="MIT\nnone\nnone\n")
    assert done.exit_code == 0, done.output
    about = read_about(checkout / "submissions/toy@1/gap")
    assert (about.licence, about.citation, about.training_data) == ("MIT", "none", "none")


def test_the_verb_names_options_where_nobody_can_be_asked(run: RunResult, checkout: Path) -> None:
    done = CliRunner().invoke(app, [str(run.folder), "--author", "A"])
    assert isinstance(done.exception, UsageError)
    assert "--licence, --citation, --training-data" in str(done.exception)
    assert files(checkout / "submissions") == {}


def test_the_verb_prints_what_the_gate_says(run: RunResult, checkout: Path) -> None:
    forged(run, lambda document: document["units"][0]["records"][0].update(value=0.5))
    done = CliRunner().invoke(app, [str(run.folder), *FACTS])
    assert done.exit_code == 1
    assert "refused: metrics: " in done.output
    assert "Nothing was stored." in done.output
    assert files(checkout / "submissions") == {}


# Baselines


def test_baselines_say_the_same_of_themselves_and_keep_their_date(checkout: Path) -> None:
    protocol = find_protocol("toy@1")
    ((_, where),) = submit_baselines(protocol, checkout / "runs", Listener(), ["msr"])
    first = read_about(Path(where))
    assert first.submitted == date.today()
    source = Path(where).parent / "sources" / f"{first.method.source_sha256}.py"
    assert source.read_bytes() == find_method("msr").source
    assert sorted(path.name for path in Path(where).iterdir()) == ["outputs.npz", "run.json", "submission.toml"]
    assert first.cost is not None
    assert (first.licence, first.training_data) == ("Apache-2.0", "none beyond the benchmark's reference sets")
    assert first.hardware == found_hardware()
    text = (Path(where) / "submission.toml").read_text()
    older = text.replace(f'submitted = "{first.submitted}"', 'submitted = "2020-01-01"')
    assert older != text
    (Path(where) / "submission.toml").write_text(older)
    list(submit_baselines(protocol, checkout / "runs", Listener(), ["msr"]))
    assert (Path(where) / "submission.toml").read_text() == older
    # What it was before is gone once no submission has it.
    write_text(source, "older")
    source.rename(source.with_name(f"{'1' * 64}.py"))
    list(submit_baselines(protocol, checkout / "runs", Listener(), ["msr"]))
    assert [path.name for path in source.parent.iterdir()] == [source.name]

"""What works for embedded benchmarks works for one's own, whatever its kind."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.own_benchmarks import KINDS
from tests.cli.support import harness

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory, in_this_process: None) -> Path:
    """A benchmark `my.toml` with the runs of two methods, in `runs`."""
    own, folder = KINDS[kind], tmp_path_factory.mktemp(kind)
    own.write(folder)
    done = harness("evaluate", *own.methods, "--benchmark", "my.toml", "--workers", "1", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "harness board build my.toml --runs runs" in done.stdout
    return folder


def runs_of(folder: Path) -> list[str]:
    """The two runs, as a user names them."""
    return sorted(str(path.parent.relative_to(folder)) for path in folder.glob("runs/*/run.json"))


def ended(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = harness(*words, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    return done


def test_it_is_planned_and_tried(kind: str, folder: Path) -> None:
    method = KINDS[kind].methods[0]
    assert "on mine@1" in ended(folder, "plan", method, "--benchmark", "my.toml").stdout
    assert "on mine@1" in ended(folder, "evaluate", method, "--benchmark", "my.toml", "--dry-run").stdout


def test_a_rehearsal(kind: str, folder: Path) -> None:
    words = ("--benchmark", "my.toml", "--limit", "6", "--out", "rehearsals", "--workers", "1", "--json")
    shown = json.loads(ended(folder, "evaluate", KINDS[kind].methods[0], *words).stdout)
    assert shown["run"]["spec"]["limit"] == 6
    refused = ended(folder, "board", "build", "my.toml", "--runs", "rehearsals", code=2)
    assert "is a rehearsal (made with --limit); run it again without a limit" in refused.stderr


def test_a_run_is_shown_replayed_and_cited(folder: Path) -> None:
    for run in runs_of(folder):
        shown = json.loads(ended(folder, "show", run, "--json").stdout)
        assert shown["place"].startswith("this benchmark has no board, but harness board build my.toml --runs runs ")
        assert "Every score is the sealed one." in ended(folder, "replay", run).stdout
        assert "benchmark mine@1" in ended(folder, "cite", run).stdout
        assert (folder / ended(folder, "report", run).stdout.strip()).is_file()


def test_runs_are_compared_and_held_against_findings(folder: Path) -> None:
    one, two = runs_of(folder)
    found = json.loads(ended(folder, "compare", one, two, "--json").stdout)
    assert found["benchmark"] == "mine@1"
    json.loads(ended(folder, "claims", one, two, "--json").stdout)


def test_failures_are_browsed(folder: Path) -> None:
    done = ended(folder, "browse", runs_of(folder)[0])
    assert (folder / done.stdout.strip()).is_file()


def test_it_has_a_board_of_its_runs(folder: Path) -> None:
    built = ended(folder, "board", "build", "my.toml", "--runs", "runs", "--out", "board")
    board = json.loads((folder / "board" / "board.json").read_text())
    assert len(board["rows"]) == 2
    assert board["unranked"] == []
    assert str(Path("board") / "board.html") in built.stdout
    for row in board["rows"]:
        assert row["units"].partition("/")[0] == row["units"].partition("/")[2]
        assert row["cells"].keys() <= set(board["columns"])
    assert json.loads(ended(folder, "board", "show", "my.toml", "--json").stdout) == board
    for format in ("csv", "markdown", "latex", "bibtex"):
        assert "mine@1" in ended(folder, "board", "export", "my.toml", "--format", format).stdout


OFFICIAL = (
    ("board", "check", "my.toml"),
    ("board", "diff", "HEAD", "my.toml"),
    ("board", "lock", "my.toml"),
    ("board", "baselines", "my.toml"),
    ("board", "publish", "my.toml", "--repo", "a/b"),
)


def test_what_only_official_boards_have_says_so(folder: Path) -> None:
    for words in OFFICIAL:
        assert "my.toml is a benchmark of your own, which has no official board" in ended(folder, *words, code=2).stderr
    run = runs_of(folder)[0]
    refused = ended(folder, "submit", run, code=2).stderr
    assert "has no benchmark mine@1" in refused
    assert (
        "A benchmark of your own has no official board to submit to, but harness board build my.toml --runs" in refused
    )
    for verb in ("validate", "reproduce"):
        assert f"{run} is a run and no submission" in ended(folder, verb, run, code=2).stderr
    assert "my.toml is a benchmark, and runs are compared" in ended(folder, "compare", run, "my.toml", code=2).stderr


def test_a_file_that_was_moved_is_named(folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(folder, tmp_path / "moved", ignore=shutil.ignore_patterns("cache")))
    run, *_ = runs_of(moved)
    note = moved / run / "protocol.json"
    note.write_text(json.dumps({"path": str(tmp_path / "gone.toml")}))
    assert "name the file with --benchmark" in ended(moved, "replay", run, code=2).stderr
    for words in (("replay", run), ("report", run), ("show", run)):
        named = () if words[0] == "show" else ("--benchmark", "my.toml")
        ended(moved, *words, *named)

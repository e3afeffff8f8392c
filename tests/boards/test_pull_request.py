"""A pull request holds one folder, and the checkout stays as it was: on scratch repositories with a made-up gh."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from harness.boards.pull_request import open_pull_request, plan_pull_request, why_by_hand
from harness.cli import submit as verb
from harness.data import catalog
from harness.execution import environment
from harness.spec.errors import UsageError
from tests.boards.workshop import GAP, evaluate, write_workshop

pytestmark = pytest.mark.usefixtures("in_this_process")

BRANCH, FOLDER = "submit/toy@1/gap", "submissions/toy@1/gap"
GH = """#!/bin/sh
echo "$@" >> "$GH_LOG"
case "$1" in
  auth) exit ${GH_AUTH:-0} ;;
  pr) if [ -n "$GH_FAILS" ]; then echo "pull request already there" >&2; exit 1; fi
      echo https://example.org/pull/7 ;;
esac
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a bare remote, on a branch of the user's own, with work in all states."""
    for key, value in {"NAME": "A. Contributor", "EMAIL": "a@example.org"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{key}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{key}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(tmp_path, "clone", "--quiet", "remote.git", "clone")
    clone = tmp_path / "clone"
    git(clone, "switch", "--quiet", "--create", "main")
    for folder in ("submissions/toy@1/other", "leaderboards"):
        (clone / folder).mkdir(parents=True)
        (clone / folder / "file").write_text("old")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "first")
    git(clone, "push", "--quiet", "--set-upstream", "origin", "main")
    git(clone, "switch", "--quiet", "--create", "own-work")
    (clone / "committed").write_text("of the user's own")
    git(clone, "add", "committed")
    git(clone, "commit", "--quiet", "--message", "own work")
    (clone / "staged").write_text("staged")
    git(clone, "add", "staged")
    (clone / "leaderboards" / "file").write_text("changed")
    (clone / "untracked").write_text("untracked")
    (clone / FOLDER).mkdir()
    (clone / FOLDER / "submission.toml").write_text("about")
    (clone / FOLDER / "method.py").write_text("code")
    return clone


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gh` that is logged in, and the log of what it was asked."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GH_LOG", str(tmp_path / "gh.log"))
    return tmp_path / "gh.log"


def state(clone: Path) -> tuple[str, ...]:
    return (
        git(clone, "rev-parse", "HEAD"),
        git(clone, "symbolic-ref", "HEAD"),
        git(clone, "status", "--porcelain"),
        git(clone, "diff", "--cached"),
        git(clone, "diff"),
    )


def pushed(clone: Path) -> list[str]:
    """What the branch on the remote changes."""
    remote = clone.parent / "remote.git"
    assert git(remote, "rev-parse", f"{BRANCH}~1") == git(remote, "rev-parse", "main"), "one commit, from main"
    return git(remote, "diff", "--name-status", "main", BRANCH).splitlines()


def test_one_commit_holds_the_folder_and_nothing_else_changes(clone: Path, gh: Path) -> None:
    before = state(clone)
    planned = plan_pull_request(clone, "toy@1", "gap", "1.0")
    assert why_by_hand() is None
    assert open_pull_request(planned) == "https://example.org/pull/7"
    assert pushed(clone) == [f"A\t{FOLDER}/method.py", f"A\t{FOLDER}/submission.toml"]
    assert state(clone) == before
    assert "pr create --head submit/toy@1/gap --title Submit gap 1.0 to toy@1" in gh.read_text()
    assert BRANCH in planned.steps[0]
    assert FOLDER in planned.steps[0]


def test_files_that_a_new_version_does_not_have_are_removed(clone: Path, gh: Path) -> None:
    git(clone, "stash", "--quiet", "--include-untracked")
    git(clone, "switch", "--quiet", "main")
    (clone / FOLDER).mkdir()
    for name in ("method.py", "reproduction.json"):
        (clone / FOLDER / name).write_text("earlier")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "earlier version")
    git(clone, "push", "--quiet", "origin", "main")
    (clone / FOLDER / "reproduction.json").unlink()
    (clone / FOLDER / "method.py").write_text("new")
    open_pull_request(plan_pull_request(clone, "toy@1", "gap", "2.0"))
    assert pushed(clone) == [f"M\t{FOLDER}/method.py", f"D\t{FOLDER}/reproduction.json"]


def test_the_commands_by_hand_do_the_same(clone: Path) -> None:
    git(clone, "switch", "--quiet", "main")
    *commands, last = plan_pull_request(clone, "toy@1", "gap", "1.0").commands
    for command in commands:
        subprocess.run(shlex.split(command), cwd=clone, check=True, capture_output=True)
    assert pushed(clone) == [f"A\t{FOLDER}/method.py", f"A\t{FOLDER}/submission.toml"]
    assert git(clone, "diff", "--cached", "--name-only") == "staged"
    assert last.startswith("gh pr create --title 'Submit gap 1.0 to toy@1'")


def test_a_push_that_is_refused_leaves_no_branch(clone: Path, gh: Path) -> None:
    hook = clone.parent / "remote.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not allowed >&2\nexit 1\n")
    hook.chmod(0o755)
    before = state(clone)
    with pytest.raises(UsageError, match=r"git push failed: .*not allowed.*gh repo fork"):
        open_pull_request(plan_pull_request(clone, "toy@1", "gap", "1.0"))
    assert state(clone) == before
    assert BRANCH not in git(clone, "branch", "--list", "--format=%(refname:short)")
    assert not gh.exists()


def test_gh_that_fails_says_why(clone: Path, gh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_FAILS", "1")
    with pytest.raises(UsageError, match="gh pr failed: pull request already there"):
        open_pull_request(plan_pull_request(clone, "toy@1", "gap", "1.0"))


def test_without_gh_or_a_login_it_is_done_by_hand(gh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_AUTH", "1")
    assert why_by_hand() == "gh is not logged in (gh auth login)"
    monkeypatch.setenv("PATH", str(gh.parent))
    assert why_by_hand() == "gh is not installed"


def test_what_cannot_become_a_pull_request_is_refused_first(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a git checkout"):
        plan_pull_request(tmp_path, "toy@1", "gap", "1.0")
    git(clone, "branch", BRANCH)
    with pytest.raises(UsageError, match=f"the branch {BRANCH} exists already"):
        plan_pull_request(clone, "toy@1", "gap", "1.0")
    git(clone, "branch", "-D", BRANCH)
    git(clone, "remote", "remove", "origin")
    with pytest.raises(UsageError, match="has no remote to push to"):
        plan_pull_request(clone, "toy@1", "gap", "1.0")


def test_from_a_run_to_the_pull_request(clone: Path, gh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "git_state", lambda: ("0" * 40, False))
    root = clone.parent / "source"
    root.mkdir()
    write_workshop(root)
    run = evaluate(root, GAP)
    monkeypatch.setattr(catalog, "_PACKAGE", root / "harness")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "remote", "add", "origin", str(clone.parent / "remote.git"))
    git(root, "fetch", "--quiet", "origin")
    app = Typer()
    app.command()(verb.submit)
    told = ["--author", "A", "--licence", "MIT", "--training-data", "none", "--citation", "none", "--hardware", "x"]
    command = [str(run.folder), *told, "--open-pr"]
    monkeypatch.setenv("GH_AUTH", "1")
    by_hand = CliRunner().invoke(app, command)
    assert by_hand.exit_code == 0, by_hand.output
    assert f"Submission: {root}/{FOLDER}" in by_hand.output
    assert "gh is not logged in" in by_hand.output
    assert f"git switch --create {BRANCH}" in by_hand.output
    assert git(clone.parent / "remote.git", "branch", "--format=%(refname:short)") == "main"
    monkeypatch.setenv("GH_AUTH", "0")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    names = ("method.py", "outputs.npz", "run.json", "submission.toml")
    assert pushed(clone) == [f"A\t{FOLDER}/{name}" for name in names]
    assert 0 < done.output.index("make the branch") < done.output.index("https://example.org/pull/7")

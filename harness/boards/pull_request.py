"""A submission as a pull request: one commit that holds its folder, whatever else the checkout is busy with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.spec.errors import UsageError

_TIMEOUT_SECONDS = 300.0
_GITHUB = re.compile(r"github\.com[:/]([^/]+)/")


@dataclass(frozen=True)
class PullRequest:
    """What will be done in a checkout: a branch from `base` with one commit of `folder`, pushed to `remote`."""

    checkout: Path
    base: str
    remote: str
    branch: str
    folder: str
    title: str
    body: str

    @property
    def steps(self) -> tuple[str, ...]:
        """What `open_pull_request` does, in words."""
        return (
            f"make the branch {self.branch} from {self.base}, with one commit that holds {self.folder} and nothing else",
            f"push it to {self.remote}",
            f"open the pull request {self.title!r} with gh",
        )

    @property
    def commands(self) -> tuple[str, ...]:
        """The same by hand. They switch the checkout to the new branch."""
        words = (
            ("git", "switch", "--create", self.branch),
            ("git", "add", "--", self.folder),
            ("git", "commit", "--message", self.title, "--", self.folder),
            ("git", "push", "--set-upstream", self.remote, self.branch),
            ("gh", "pr", "create", "--title", self.title, "--body", self.body),
        )
        return tuple(map(shlex.join, words))


def plan_pull_request(checkout: Path, benchmark: str, method: str, version: str) -> PullRequest:
    """Raises UsageError where no pull request can be made from the checkout. Changes nothing."""
    if not (checkout / ".git").exists():
        raise UsageError(f"{checkout} is not a git checkout; clone the repository and name the clone with --into.")
    remotes = _git(checkout, "remote").split()
    if not remotes:
        raise UsageError(f"{checkout} has no remote to push to; add one with: git remote add origin URL")
    branch = f"submit/{benchmark}/{method}"
    if _known(checkout, f"refs/heads/{branch}"):
        raise UsageError(f"the branch {branch} exists already; push it, or remove it with: git branch -D {branch}")
    remote = "origin" if "origin" in remotes else remotes[0]
    mains = (f"{each}/{name}" for each in ("upstream", remote) for name in ("HEAD", "main", "master"))
    base = next((each for each in mains if _known(checkout, f"refs/remotes/{each}")), "HEAD")
    folder = f"submissions/{benchmark}/{method}"
    title = f"Submit {method} {version} to {benchmark}"
    return PullRequest(checkout, base, remote, branch, folder, title, f"Made by `harness submit`; adds `{folder}`.")


def why_by_hand() -> str | None:
    """Why gh cannot open pull requests here, or None where it can."""
    if shutil.which("gh") is None:
        return "gh is not installed"
    done = subprocess.run(["gh", "auth", "status"], capture_output=True, timeout=_TIMEOUT_SECONDS)
    return None if done.returncode == 0 else "gh is not logged in (gh auth login)"


def open_pull_request(planned: PullRequest) -> str:
    """Do what `planned.steps` say; returns the address of the pull request.

    The commit is made beside the checkout: its branch, index and files stay as they are. Raises UsageError with the
    words of the program that failed; a branch that could not be pushed is removed again.
    """
    checkout, branch = planned.checkout, planned.branch
    _git(checkout, "branch", "--no-track", branch, _commit(planned))
    try:
        _git(checkout, "push", "--set-upstream", planned.remote, branch)
    except UsageError as error:
        _git(checkout, "branch", "-D", branch)
        raise UsageError(f"{error} (without the right to push, push to a fork: gh repo fork --remote)") from error
    owner = _GITHUB.search(_git(checkout, "remote", "get-url", planned.remote))
    head = f"{owner[1]}:{branch}" if owner else branch
    return _run(checkout, "gh", "pr", "create", "--head", head, "--title", planned.title, "--body", planned.body)


def _commit(planned: PullRequest) -> str:
    """A commit of the base with the folder as it lies in the checkout, made in an index of its own."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git(planned.checkout, "read-tree", planned.base, **index)
        _git(planned.checkout, "add", "--all", "--force", "--", planned.folder, **index)
        tree = _git(planned.checkout, "write-tree", **index)
    return _git(planned.checkout, "commit-tree", tree, "-p", planned.base, "-m", planned.title)


def _known(checkout: Path, reference: str) -> bool:
    command = ["git", "rev-parse", "--verify", "--quiet", reference]
    return subprocess.run(command, cwd=checkout, capture_output=True, timeout=_TIMEOUT_SECONDS).returncode == 0


def _git(checkout: Path, *arguments: str, **environment: str) -> str:
    return _run(checkout, "git", *arguments, **environment)


def _run(checkout: Path, *command: str, **environment: str) -> str:
    """What a program prints. Raises UsageError with its last words."""
    done = subprocess.run(
        command,
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GH_PROMPT_DISABLED": "1", **environment},
    )
    if done.returncode != 0:
        words = " ".join(done.stderr.split())[-600:]
        raise UsageError(f"{shlex.join(command[:2])} failed: {words or f'exit code {done.returncode}'}.")
    return done.stdout.strip()

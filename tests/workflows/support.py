"""What GitHub does with a workflow, on this machine: a repository, pull requests to it, and the steps of a job."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("harness", "docs", ".github", ".gitignore", "Makefile", "pyproject.toml", "requirements")
STUB = """#!{python}
from harness.cli import main
main()
"""


@dataclass(frozen=True)
class Step:
    """How a step ended, and all that it printed."""

    name: str
    code: int
    output: str


def snapshot(target: Path) -> None:
    """The code of this checkout, with what is not committed yet. Skips where git does not know it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *COPIED],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())


def install(checkout: Path) -> Path:
    """What `make .venv/.dev` does, with the packages of this interpreter; returns the folder of its programs."""
    folder = checkout / ".venv"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = dict.fromkeys((str(checkout), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (packages / "checkout.pth").write_text("\n".join(paths))
    (folder / "bin" / "harness").write_text(STUB.format(python=folder / "bin" / "python"))
    (folder / "bin" / "harness").chmod(0o755)
    return folder / "bin"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A. Contributor", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def harness(checkout: Path, *arguments: str) -> str:
    """What a command prints that must succeed, run as a user of a checkout does."""
    command = [str(checkout / ".venv" / "bin" / "harness"), *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=_environment(checkout.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def merged(origin: Path, branch: str, target: Path) -> Path:
    """The shallow checkout of a pull request merged into main, as GitHub's runner has it."""
    working = target / "merge"
    git(target, "clone", "--quiet", "--branch", "main", str(origin), str(working))
    git(working, "switch", "--quiet", "--detach")
    git(working, "merge", "--quiet", "--no-ff", "--message", "merge", f"origin/{branch}")
    git(working, "push", "--quiet", "origin", f"HEAD:refs/heads/pull-{branch}")
    git(target, "clone", "--quiet", "--depth=2", f"--branch=pull-{branch}", f"file://{origin}", "checkout")
    return target / "checkout"


def run_job(workflow: str, job: str, checkout: Path, temporary: Path) -> Iterator[Step]:
    """Run the commands of a job in order, as the runner does; what installs is replaced by `install`."""
    described = yaml.safe_load((ROOT / ".github" / "workflows" / f"{workflow}.yml").read_text())
    steps: list[dict[str, Any]] = described["jobs"][job]["steps"]
    variables = {key: str(value) for key, value in described.get("env", {}).items()}
    variables |= {"RUNNER_TEMP": str(temporary), "GITHUB_WORKSPACE": str(checkout)}
    variables["GITHUB_SHA"] = git(checkout, "rev-parse", "HEAD")
    failed = False
    for step in (each for each in steps if "run" in each):
        if failed and step.get("if") != "${{ !cancelled() }}":
            continue
        if step["name"] in ("Install", "Data"):  # the miniature's tables need no data set
            judge = temporary / "judge"
            programs = install(judge if judge.exists() else checkout)
            variables["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
            continue
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=checkout,
            env=_environment(temporary) | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
        )
        failed = failed or done.returncode != 0
        yield Step(step["name"], done.returncode, done.stdout)


def _environment(folder: Path) -> dict[str, str]:
    """This one's, without what would lead a command elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "GIT_", "HARNESS_"))}
    own = {"HARNESS_CACHE": str(folder / "cache"), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return kept | own | {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

"""The workflows' own commands, on a scratch repository: a good pull request, a bad one, and malicious ones."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.execution.sandbox import sandbox_available
from harness.storage import file_id
from tests.boards.gate.support import change_about, change_run, unit_of, write_template
from tests.workflows.support import Step, git, harness, install, merged, run_job, snapshot

OWN = "submissions/toy@1/collision"
METHOD = """
from harness import confidence_score

@confidence_score(version="1.0")
def collision(outputs):
    return (outputs.probabilities ** 2).sum(dim=1)
"""
DISCLOSED = ("--author", "A. Contributor", "--licence", "Apache-2.0", "--citation", "none: it is an example")
FURTHER = ("--training-data", "none", "--hardware", "2 cores")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`origin`, whose main branch has a built board of two methods, and `clone` with a new submission, committed."""
    world = tmp_path_factory.mktemp("world")
    main = world / "main"
    snapshot(main)
    write_template(main)
    for made in ("runs", "submissions/toy@1/margin"):
        shutil.rmtree(main / made)
    (main / "margin.py").unlink()
    install(main)
    harness(main, "board", "lock", "toy@1")
    harness(main, "board", "build", "toy@1")
    git(main, "init", "--quiet", "--initial-branch=main")
    git(main, "add", "--all")
    git(main, "commit", "--quiet", "--message", "main")
    git(world, "clone", "--quiet", "--bare", str(main), "origin")
    git(world, "clone", "--quiet", str(world / "origin"), "clone")
    clone = world / "clone"
    install(clone)
    (world / "collision.py").write_text(METHOD)
    harness(clone, "evaluate", str(world / "collision.py"), "--benchmark", "toy@1", "--device", "cpu")
    (run,) = (clone / "runs").glob("toy-1-collision-*")
    harness(clone, "submit", str(run), *DISCLOSED, *FURTHER)
    return world


def request(world: Path, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    """A pull request with the new submission, changed; returns the checkout in which it is judged."""
    clone, branch = tmp_path / "clone", tmp_path.name
    git(tmp_path, "clone", "--quiet", str(world / "origin"), "clone")
    shutil.copytree(world / "clone" / OWN, clone / OWN)
    change(clone)
    git(clone, "switch", "--quiet", "--create", branch)
    git(clone, "add", "--all", "--force")
    git(clone, "commit", "--quiet", "--message", "request")
    git(clone, "push", "--quiet", "origin", branch)
    return merged(world / "origin", branch, tmp_path)


def judge(world: Path, tmp_path: Path, change: Callable[[Path], object]) -> list[Step]:
    checkout = request(world, tmp_path, change)
    return list(run_job("submission", "judge", checkout, temporary(tmp_path)))


def temporary(tmp_path: Path) -> Path:
    (tmp_path / "temp").mkdir()
    return tmp_path / "temp"


def refused(steps: list[Step]) -> str:
    """What the gate says about a pull request that it must refuse, and after which nothing is built."""
    assert [(step.name, step.code) for step in steps] == [("Main branch", 0), ("Validate", 1)], steps
    return steps[-1].output


def test_a_good_pull_request(world: Path, tmp_path: Path) -> None:
    steps = judge(world, tmp_path, lambda clone: None)
    ended = [(step.name, step.code) for step in steps]
    assert ended == [("Main branch", 0), ("Validate", 0), ("Build", 0), ("Preview", 0)], steps
    preview = tmp_path / "temp" / "preview"
    assert (preview / "findings.txt").read_text() == f"{OWN}: accepted\n"
    assert (
        "toy@1:\n  - collision came without a rank: it waits to be reproduced\n" in (preview / "moved.txt").read_text()
    )
    assert f"[collision](../../../{OWN})" in (preview / "board.md").read_text()
    assert git(tmp_path / "checkout", "status", "--porcelain") == ""


def test_a_changed_metric(world: Path, tmp_path: Path) -> None:
    def change(clone: Path) -> None:
        def improve(document: dict) -> None:
            records = unit_of(document, "iid", "one")["records"]
            next(each for each in records if each["metric"] == "augrc")["value"] *= 0.9

        change_run(clone / OWN, improve)

    said = refused(judge(world, tmp_path, change))
    claimed = re.search(r"metrics: augrc of iid · one is claimed as (\S+) \(n = 300\), its outputs give (\S+) ", said)
    assert claimed is not None, said
    assert float(claimed[1]) == pytest.approx(0.9 * float(claimed[2]))


def test_a_symbolic_link(world: Path, tmp_path: Path) -> None:
    said = refused(judge(world, tmp_path, lambda clone: (clone / OWN / "README.md").symlink_to("/etc/passwd")))
    assert said == f"{OWN}: refused: files: README.md is a symbolic link; store the file itself.\n"


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle(world: Path, tmp_path: Path) -> None:
    def change(clone: Path) -> None:
        np.savez(clone / OWN / "outputs.npz", trap=np.array([Trap(tmp_path / "sprung")], dtype=object))
        change_about(clone / OWN, outputs={"outputs.npz": file_id(clone / OWN / "outputs.npz")})

    said = refused(judge(world, tmp_path, change))
    assert said == (
        f"{OWN}: refused: outputs: outputs.npz was refused: its member 'trap.npy' has the unsafe dtype object.\n"
    )
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "verb"),
    [
        ("submissions/toy@1/msr/submission.toml", "changes"),
        ("submissions/toy@1/msr/README.md", "adds"),
        ("submissions/toy@1/sources/0.py", "adds"),
        ("leaderboards/toy/1/benchmark.toml", "changes"),
        ("datasets/other/card.md", "adds"),
    ],
)
def test_what_belongs_to_others(world: Path, tmp_path: Path, path: str, verb: str) -> None:
    def change(clone: Path) -> None:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        with (clone / path).open("a") as file:
            file.write("# changed\n")

    said = refused(judge(world, tmp_path, change))
    assert f"the same change {verb} {path}; a submission touches its own folder and nothing else." in said


@pytest.mark.slow
def test_a_removed_submission(world: Path, tmp_path: Path) -> None:
    said = refused(judge(world, tmp_path, lambda clone: shutil.rmtree(clone / "submissions" / "toy@1" / "msr")))
    assert "submissions/toy@1/msr: refused: files: msr was removed; to withdraw a submission, ask a maintainer" in said


def test_a_harness_that_would_judge_itself(world: Path, tmp_path: Path) -> None:
    """Code of a pull request is not imported, wherever it lies: neither its gate nor what Python imports by itself."""
    sprung = tmp_path / "sprung"
    spring = f"import os\nos.makedirs({str(sprung)!r}, exist_ok=True)\n"

    def change(clone: Path) -> None:
        for name in (
            "sitecustomize.py",
            "numpy.py",
            "json.py",
            "harness/__init__.py",
            "harness/boards/gate/__init__.py",
        ):
            (clone / name).write_text(spring)
        (clone / "Makefile").write_text("%:\n\ttrue\n")
        change_about(clone / OWN, licence="")

    said = refused(judge(world, tmp_path, change))
    assert f"{OWN}: refused: disclosure: submission.toml lacks licence" in said
    assert f"{OWN}: refused: changes: the same change changes harness/boards/gate/__init__.py" in said
    assert not sprung.exists()


@pytest.mark.slow
def test_a_method_that_acts_when_it_is_imported(world: Path, tmp_path: Path) -> None:
    """The gate reads methods, it does not run them; this one is refused because its hash changed."""
    sprung = tmp_path / "sprung"

    def change(clone: Path) -> None:
        with (clone / OWN / "method.py").open("a") as file:
            file.write(f"import os\nos.makedirs({str(sprung)!r})\n")

    said = refused(judge(world, tmp_path, change))
    assert "method.py is not the file that submission.toml names: its sha256 differs." in said
    assert not sprung.exists()


@pytest.mark.slow
def test_reproducing(world: Path, tmp_path: Path) -> None:
    if (reason := sandbox_available()) is not None:
        pytest.skip(reason)
    checkout = request(world, tmp_path, lambda clone: None)
    steps = list(run_job("reproduce", "reproduce", checkout, temporary(tmp_path)))
    names = ["Main branch", "No run without the sandbox", "Validate", "Reproduce", "Preview", "Record"]
    assert [(step.name, step.code) for step in steps] == [(name, 0) for name in names], steps
    preview = tmp_path / "temp" / "preview"
    assert "collision came out the same" in (preview / "reproduction.txt").read_text()
    assert "toy@1:\n  - collision came: rank 1\n" in (preview / "moved.txt").read_text(), "with its record"
    record = json.loads(
        (tmp_path / "temp" / "record" / "leaderboards" / "toy" / "1" / "reproductions" / "collision.json").read_text()
    )
    assert (record["same"], record["sandbox"]) == (True, "bubblewrap")


@pytest.mark.slow
def test_nothing_is_reproduced_without_a_sandbox(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bwrap").write_text("#!/bin/sh\necho no user namespaces >&2\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    checkout = request(world, tmp_path, lambda clone: None)
    steps = list(run_job("reproduce", "reproduce", checkout, temporary(tmp_path)))
    assert [(step.name, step.code) for step in steps[:2]] == [("Main branch", 0), ("No run without the sandbox", 1)]
    assert [step.name for step in steps[2:]] == ["Record"]
    assert not list((tmp_path / "temp").rglob("reproduction.*"))


@pytest.mark.slow
def test_the_main_branch(world: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(world / "origin"), "clone")
    steps = list(run_job("board", "rebuild", tmp_path / "clone", temporary(tmp_path)))
    assert [(step.name, step.code) for step in steps] == [("Validate", 0), ("Rebuild", 0), ("Pages", 0)], steps
    page = tmp_path / "temp" / "site" / "leaderboards" / "toy" / "1" / "index.html"
    assert ">msr</a>" in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["board.md", "benchmark.toml"])
def test_drift_is_not_published(world: Path, tmp_path: Path, name: str) -> None:
    git(tmp_path, "clone", "--quiet", str(world / "origin"), "clone")
    with (tmp_path / "clone" / "leaderboards" / "toy" / "1" / name).open("a") as file:
        file.write("\n# edited\n")
    steps = list(run_job("board", "rebuild", tmp_path / "clone", temporary(tmp_path)))
    assert (steps[-1].name, steps[-1].code) == ("Rebuild", 1), steps
    assert not (tmp_path / "temp" / "site").exists()

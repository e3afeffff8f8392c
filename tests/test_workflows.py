"""Who may start a workflow, what it may do, and that no stranger's text becomes a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

GITHUB = Path(__file__).resolve().parents[1] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TRIGGERS = {
    "ci": {"push": {"branches": ["main"]}, "pull_request": None},
    "submission": {"pull_request": {"branches": ["main"], "paths": ["submissions/**"]}},
    "comment": {"workflow_run": {"workflows": ["submission", "reproduce"], "types": ["completed"]}},
    "reproduce": {"pull_request": {"branches": ["main"], "paths": ["submissions/**"]}},
    "board": {
        "push": {"branches": ["main"]},
        "pull_request": {
            "branches": ["main"],
            "paths": ["harness/**", "leaderboards/**", "datasets/**", "docs/**", "requirements/**", "pyproject.toml"],
        },
    },
    "release": {"release": {"types": ["published"]}},
}
MAY_WRITE = {
    ("comment", "comment"): {"actions": "read", "contents": "read", "pull-requests": "write"},
    ("board", "publish"): {"id-token": "write", "pages": "write"},
    ("release", "publish"): {"id-token": "write"},
}
HARMLESS = {
    "github.ref",
    "github.event.pull_request.number",
    "github.event.workflow_run.id",
    "matrix.python",
    "runner.temp",
    "steps.pages.outputs.page_url",
    "!cancelled()",
}
"""What expressions may insert where nothing is run."""
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def read(text: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key `on` as the truth."""
    document = yaml.safe_load(text)
    return {"on" if key is True else key: value for key, value in document.items()}


def faults(text: str) -> Iterator[str]:
    """What a workflow must not have."""
    workflow = read(text)
    name = workflow["name"]
    if workflow["on"] != TRIGGERS.get(name):
        yield "triggers"
    if "permissions" not in workflow or _writes(workflow["permissions"]):
        yield "permissions"
    if "concurrency" not in workflow:
        yield "concurrency"
    if "secrets" in text:
        yield "secrets"
    if "github.token" in text and name != "comment":
        yield "token"
    for key, job in workflow["jobs"].items():
        yield from _job_faults(job, MAY_WRITE.get((name, key), {}))
    given = [each.strip() for each in EXPRESSION.findall(text)]
    if set(given) - HARMLESS - ({"github.token"} if name == "comment" else set()):
        yield "expression"


def _job_faults(job: dict[str, Any], allowed: dict[str, str]) -> Iterator[str]:
    if job.get("permissions", {}) != allowed:
        yield "job permissions"
    if not 0 < job.get("timeout-minutes", 0) <= 350:
        yield "timeout"
    if job.get("runs-on") != "ubuntu-24.04":
        yield "runner"
    for step in job["steps"]:
        if "${{" in step.get("run", "") or "script" in step.get("with", {}):
            yield "expression in a command"
        used = step.get("uses")
        if used and not PINNED.fullmatch(used):
            yield "pin"
        if (
            used
            and used.startswith("actions/checkout@")
            and step.get("with", {}).get("persist-credentials") is not False
        ):
            yield "credentials"


def _writes(permissions: Any) -> bool:
    return not isinstance(permissions, dict) or not set(permissions.values()) <= {"read", "none"}


def workflow_text(name: str) -> str:
    return (GITHUB / "workflows" / f"{name}.yml").read_text()


def test_every_workflow_is_known() -> None:
    assert {path.stem for path in WORKFLOWS} == set(TRIGGERS)
    assert all(read(path.read_text())["name"] == path.stem for path in WORKFLOWS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_faults(path: Path) -> None:
    assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  pull_request:\n", "  pull_request_target:\n", "triggers"),
        ('    paths: ["submissions/**"]\n', "", "triggers"),
        ("  contents: read\nconcurrency", "  contents: write\nconcurrency", "permissions"),
        ("permissions:\n  contents: read\n", "", "permissions"),
        ("permissions:\n  contents: read\n", "permissions: write-all\n", "permissions"),
        (
            "    timeout-minutes: 60\n",
            "    permissions:\n      issues: write\n    timeout-minutes: 60\n",
            "job permissions",
        ),
        ("    timeout-minutes: 60\n", "", "timeout"),
        ("ubuntu-24.04", "ubuntu-latest", "runner"),
        ("checkout@11bd71901bbe5b1630ceea73d27597364c9af683 #", "checkout@v4.2.2 #", "pin"),
        ("checkout@11bd71901bbe5b1630ceea73d27597364c9af683 #", "checkout@main #", "pin"),
        ("          persist-credentials: false\n", "", "credentials"),
        ("HEAD^1 2>&1", '"${{ github.event.pull_request.title }}" 2>&1', "expression in a command"),
        ("name: preview\n", "name: ${{ github.head_ref }}\n", "expression"),
        ('PYTHONSAFEPATH: "1"', "TOKEN: ${{ secrets.TOKEN }}", "secrets"),
        ('PYTHONSAFEPATH: "1"', "TOKEN: ${{ github.token }}", "token"),
    ],
)
def test_each_fault_is_found(old: str, new: str, fault: str) -> None:
    text = workflow_text("submission")
    assert old in text
    assert fault in faults(text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["submission", "reproduce"])
def test_the_code_of_the_main_branch_judges(name: str) -> None:
    """What is installed and what builds is taken from the parent of the merge, before anything of the harness runs."""
    workflow = read(workflow_text(name))
    assert workflow["env"] == {"PYTHONSAFEPATH": "1"}
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == 'git worktree add --detach "$RUNNER_TEMP/judge" HEAD^1'
    assert 'make -C "$RUNNER_TEMP/judge" .venv/.dev' in commands[1]
    assert not [each for each in commands[:2] if "harness" in each]
    made = [line for each in commands for line in each.splitlines() if re.search(r"\b(make|pip)\b", line)]
    assert len(made) == 1


def test_reproducing_needs_the_sandbox_and_nobody() -> None:
    """No label or approval in the file: what is run is a stranger's, so nothing may depend on a reader's care."""
    workflow = read(workflow_text("reproduce"))
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"}
    assert "if" not in job
    names = [step.get("name") for step in job["steps"]]
    assert names.index("No run without the sandbox") < names.index("Validate") < names.index("Reproduce")
    kept = [step["with"]["name"] for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept == ["preview", "record"]


def test_what_may_comment_touches_nothing_of_the_pull_request() -> None:
    job = read(workflow_text("comment"))["jobs"]["comment"]
    checkout, comment = job["steps"]
    assert checkout["with"] == {"persist-credentials": False, "sparse-checkout": ".github/scripts"}
    assert comment["run"] == "python3 .github/scripts/comment.py"
    assert comment["env"] == {"GH_TOKEN": "${{ github.token }}"}
    assert "github.event.workflow_run.event == 'pull_request'" in job["if"]


def test_only_pushes_to_main_are_published() -> None:
    jobs = read(workflow_text("board"))["jobs"]
    assert jobs["publish"]["if"] == "github.event_name == 'push'"
    assert jobs["publish"]["needs"] == "rebuild"
    upload = next(step for step in jobs["rebuild"]["steps"] if "upload-pages" in step.get("uses", ""))
    assert upload["if"] == "github.event_name == 'push'"


def test_releases_need_no_stored_token() -> None:
    jobs = read(workflow_text("release"))["jobs"]
    assert jobs["publish"]["environment"] == "pypi"
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    publish = jobs["publish"]["steps"][-1]
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "with" not in publish


def test_every_step_of_a_shell_stops_at_the_first_error() -> None:
    """GitHub's own default ignores the failure of a command before a pipe."""
    for path in WORKFLOWS:
        workflow = read(path.read_text())
        piped = [s for job in workflow["jobs"].values() for s in job["steps"] if "|" in s.get("run", "")]
        assert not piped or workflow["defaults"] == {"run": {"shell": "bash"}}, path.stem


@pytest.mark.parametrize("name", ["dispute", "benchmark", "bug"])
def test_issue_forms(name: str) -> None:
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "labels", "body"} == set(form)
    assert {each["type"] for each in form["body"]} <= {"markdown", "input", "textarea", "dropdown", "checkboxes"}
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)
    assert any(each.get("validations", {}).get("required") for each in fields)


def test_owners_are_a_placeholder_that_says_so() -> None:
    lines = (GITHUB / "CODEOWNERS").read_text().splitlines()
    assert "placeholder" in lines[0]
    owned = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert {"*", "/.github/", "/submissions/", "/leaderboards/", "/harness/boards/"} <= owned

"""The comment goes to the right pull request, or nowhere, and shows a stranger's files as nothing but text."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".github" / "scripts" / "comment.py"
SHA, FORK = "c" * 40, 7
GH = """#!{python}
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["GH_FOLDER"])
arguments = sys.argv[2:]
path = next(each for each in arguments if each.startswith("repos/"))
given = sys.stdin.read() if "--input" in arguments else ""
with (folder / "log").open("a") as log:
    log.write(json.dumps([arguments, given]) + "\\n")
answer = folder / path.replace("/", "_")
if answer.exists():
    sys.stdout.buffer.write(answer.read_bytes())
elif "--input" not in arguments:
    sys.exit(f"HTTP 404: {{path}}")
"""


@dataclass
class GitHub:
    """A repository `o/r` with one pull request, 12, from a fork; what its API answers, and what it was asked."""

    folder: Path
    run: dict[str, Any] = field(default_factory=dict)

    def answer(self, path: str, content: object) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.folder / f"repos_o_r_{path.replace('/', '_')}").write_bytes(data)

    def preview(self, files: dict[str, str | bytes], size: int | None = None) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        self.artifact(buffer.getvalue(), size)

    def artifact(self, content: bytes, size: int | None = None) -> None:
        listed = [{"id": 1, "name": "preview", "size_in_bytes": len(content) if size is None else size}]
        self.answer("actions/runs/5/artifacts", {"artifacts": listed})
        self.answer("actions/artifacts/1/zip", content)

    def comment(self) -> subprocess.CompletedProcess[str]:
        fork = {"id": FORK, "owner": {"login": "fork"}}
        run = {"id": 5, "head_sha": SHA, "head_branch": "mine", "head_repository": fork}
        run |= {"conclusion": "success", "html_url": "https://example.org/5"} | self.run
        repository = {"full_name": "o/r", "default_branch": "main"}
        event = {"workflow": {"name": "submission"}, "workflow_run": run, "repository": repository}
        (self.folder / "event.json").write_text(json.dumps(event))
        variables = {"GH_FOLDER": str(self.folder), "GITHUB_EVENT_PATH": str(self.folder / "event.json")}
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **variables, "PATH": path}
        return subprocess.run(
            [sys.executable, str(SCRIPT)], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240
        )

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        log = self.folder / "log"
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def posted(self) -> list[tuple[str, str, str]]:
        """(method, path, body) of what was written."""
        sent = [(arguments, given) for arguments, given in self.calls if "--input" in arguments]
        return [(arguments[1], arguments[2], json.loads(given)["body"]) for arguments, given in sent]


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    (tmp_path / "gh").write_text(GH.format(python=sys.executable))
    (tmp_path / "gh").chmod(0o755)
    made = GitHub(tmp_path)
    made.answer("pulls", [pull()])
    made.answer("pulls/12/files", b"submissions/toy@1/gap/method.py\n\n")
    made.answer("issues/12/comments", b"")
    made.preview({"findings.txt": "gap: accepted\n", "moved.txt": "gap comes in at 2\n"})
    return made


def pull(**changes: Any) -> dict[str, Any]:
    head = {"sha": SHA, "repo": {"id": FORK}}
    return {"number": 12, "head": head, "base": {"ref": "main"}} | changes


def test_a_new_comment(github: GitHub) -> None:
    done = github.comment()
    assert done.returncode == 0, done.stderr
    ((method, path, body),) = github.posted
    assert (method, path) == ("POST", "repos/o/r/issues/12/comments")
    assert body.startswith("<!-- harness submission -->\n\n`submission` passed for " + SHA)
    assert "```text\ngap: accepted\n```" in body
    assert "```text\ngap comes in at 2\n```" in body
    assert "Do not rely" not in body
    asked = github.calls[0][0]
    assert asked[-1] == "head=fork:mine"


def test_a_failed_run_says_so(github: GitHub) -> None:
    github.run = {"conclusion": "failure"}
    github.comment()
    assert "`submission` **failed** for" in github.posted[0][2]


def test_an_earlier_comment_is_replaced(github: GitHub) -> None:
    github.answer("issues/12/comments", b"34\n")
    github.comment()
    assert [each[:2] for each in github.posted] == [("PATCH", "repos/o/r/issues/comments/34")]
    listing = next(arguments for arguments, _ in github.calls if "repos/o/r/issues/12/comments" in arguments)
    assert 'select(.user.login == "github-actions[bot]"' in listing[-1]


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(head={"sha": "d" * 40, "repo": {"id": FORK}})],
        [pull(head={"sha": SHA, "repo": {"id": 8}})],
        [pull(head={"sha": SHA, "repo": None})],
        [pull(base={"ref": "other"})],
    ],
    ids=["closed", "pushed again", "another fork", "fork deleted", "another branch"],
)
def test_no_pull_request_at_this_commit(github: GitHub, pulls: list[dict[str, Any]]) -> None:
    github.answer("pulls", pulls)
    done = github.comment()
    assert (done.returncode, done.stdout) == (0, "No open pull request is at this commit: nothing to say.\n")
    assert github.posted == []


def test_the_number_is_not_taken_from_the_artifact(github: GitHub) -> None:
    github.preview({"number": "99", "pr": "99", "findings.txt": "for pull request 99"})
    github.comment()
    assert [path for _, path, _ in github.posted] == ["repos/o/r/issues/12/comments"]


def test_a_pull_request_that_writes_its_own_verdict(github: GitHub) -> None:
    github.answer("pulls/12/files", b"submissions/toy@1/gap/method.py\n\n.github/workflows/submission.yml\n\n")
    github.comment()
    body = github.posted[0][2]
    assert body.index("Do not rely on it.") < body.index("gap: accepted")


def test_text_cannot_leave_its_block(github: GitHub) -> None:
    hostile = "x\n```\n@everyone <img src=//evil> </details>\n````text\n"
    github.preview({"findings.txt": hostile})
    github.comment()
    lines = github.posted[0][2].splitlines()
    assert lines[lines.index("`````text") + 1 :][:5] == [*hostile.splitlines(), "`````"]


def test_what_hides_or_turns_text_around_is_shown(github: GitHub) -> None:
    github.preview({"findings.txt": "a\x1b[2Jb\u202ec\r\x00d\xff".encode() + b"\xfe"})
    github.comment()
    assert "a\ufffd[2Jb\ufffdc\ufffd\ufffdd\xff\ufffd\n" in github.posted[0][2]


def test_other_files_are_not_read(github: GitHub) -> None:
    github.preview({"../../../etc/passwd": "escaped", "board.html": "<script>", "findings.txt": "fine"})
    github.comment()
    body = github.posted[0][2]
    assert "fine" in body
    assert "escaped" not in body
    assert "script" not in body


def test_a_bomb_is_cut(github: GitHub) -> None:
    github.preview({"findings.txt": b"a" * 50_000_000, "board.md": "`" * 100_000, "moved.txt": "é" * 100_000})
    done = github.comment()
    assert done.returncode == 0, done.stderr
    body = github.posted[0][2]
    assert len(body) <= 65_536
    assert "a" * 15_000 + "\n… (the artifact of the run has the rest)" in body


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 30])
def test_a_damaged_artifact(github: GitHub, content: bytes) -> None:
    github.artifact(content)
    done = github.comment()
    assert done.returncode == 0
    assert done.stdout.startswith("The preview is not a readable zip file (BadZipFile).\n")
    assert github.posted == []


def test_a_damaged_member(github: GitHub) -> None:
    github.preview({"findings.txt": "".join(map(chr, range(32, 127))) * 50})
    path = github.folder / "repos_o_r_actions_artifacts_1_zip"
    data = bytearray(path.read_bytes())
    data[60:70] = b"\xff" * 10
    path.write_bytes(bytes(data))
    done = github.comment()
    assert done.returncode == 0, done.stderr
    assert "not a readable zip file" in done.stdout
    assert github.posted == []


def test_a_large_artifact_is_not_fetched(github: GitHub) -> None:
    github.preview({"findings.txt": "fine"}, size=1_000_001)
    assert github.comment().stdout == "The workflow left no preview: nothing to say.\n"
    assert not [arguments for arguments, _ in github.calls if arguments[-1].endswith("/zip")]


def test_no_artifact(github: GitHub) -> None:
    github.answer("actions/runs/5/artifacts", {"artifacts": []})
    assert github.comment().stdout == "The workflow left no preview: nothing to say.\n"


def test_a_refusing_api_is_an_error(github: GitHub) -> None:
    (github.folder / "repos_o_r_pulls").unlink()
    done = github.comment()
    assert done.returncode == 1
    assert done.stderr == "gh api failed: HTTP 404: repos/o/r/pulls\n"

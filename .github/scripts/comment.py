"""Post what a workflow found about a pull request, as one comment that later runs replace.

Runs on the main branch, by the event `workflow_run`, with the right to comment. The artifact `preview` comes from a
workflow that a pull request may have rewritten: of it only files of known names are read, as bounded text, and shown
literally. Which pull request it is about is asked from GitHub, by the branch and the commit that the event names.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import zipfile
import zlib
from pathlib import Path
from typing import Any

TITLES = {
    "findings.txt": "What the gate found",
    "moved.txt": "Who moves",
    "board.md": "The board with this submission",
    "reproduction.txt": "What came out again",
}
LARGEST_ARTIFACT = 1_000_000
"""Bytes of the zip file."""
LONGEST_TEXT, LONGEST_COMMENT = 15_000, 65_000
"""Characters shown of one file, and of all; GitHub takes 65,536."""
BOT = "github-actions[bot]"
UNTRUSTED = (
    "**This pull request changes `.github/`, so its own workflow may have written what follows. Do not rely on it.**"
)


def main() -> None:
    """Comment on the pull request of the event, if it is open and still at the commit that was looked at."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
    repository, run = event["repository"], event["workflow_run"]
    number = find_pull(repository, run)
    if number is None:
        print("No open pull request is at this commit: nothing to say.")
        return
    content = download(repository["full_name"], run["id"])
    texts = read_preview(content) if content is not None else {}
    if not texts:
        print("The workflow left no preview: nothing to say.")
        return
    marker = f"<!-- harness {event['workflow']['name']} -->"
    warning = [UNTRUSTED] if changes_workflows(repository["full_name"], number) else []
    body = "\n\n".join([marker, *warning, *render(event["workflow"]["name"], run, texts)])
    post(repository["full_name"], number, marker, body[:LONGEST_COMMENT])


def find_pull(repository: dict[str, Any], run: dict[str, Any]) -> int | None:
    """The number of the open pull request to the main branch whose head is the commit of the run."""
    head = f"{run['head_repository']['owner']['login']}:{run['head_branch']}"
    path = f"repos/{repository['full_name']}/pulls"
    for pull in json.loads(gh("--method", "GET", path, "-f", "state=open", "-f", f"head={head}")):
        source = (pull["head"]["repo"] or {}).get("id")  # none where the fork was deleted
        same = (source, pull["head"]["sha"]) == (run["head_repository"]["id"], run["head_sha"])
        if same and pull["base"]["ref"] == repository["default_branch"]:
            return int(pull["number"])
    return None


def changes_workflows(repository: str, number: int) -> bool:
    """Whether the pull request could have changed the workflow that made its preview."""
    names = gh("--paginate", f"repos/{repository}/pulls/{number}/files", "--jq", ".[] | .filename, .previous_filename")
    return any(name.startswith(b".github/") for name in names.splitlines())


def download(repository: str, run: int) -> bytes | None:
    """The newest artifact `preview` of a run, as a zip file; None where there is none of a reasonable size."""
    listed = json.loads(gh("--method", "GET", f"repos/{repository}/actions/runs/{run}/artifacts", "-f", "name=preview"))
    sizes = {each["id"]: each["size_in_bytes"] for each in listed["artifacts"] if each["name"] == "preview"}
    if not sizes or sizes[max(sizes)] > LARGEST_ARTIFACT:
        return None
    return gh(f"repos/{repository}/actions/artifacts/{max(sizes)}/zip")


def read_preview(content: bytes) -> dict[str, str]:
    """Name -> text of the files that a preview may hold. Nothing is unpacked to the disk, nor beyond the bound."""
    texts = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in TITLES.keys() & set(archive.namelist()):
                with archive.open(name) as file:
                    texts[name] = printable(file.read(4 * LONGEST_TEXT).decode(errors="replace"))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        print(f"The preview is not a readable zip file ({type(error).__name__}).")
        return {}
    return texts


def printable(text: str) -> str:
    """Without what could hide or turn around what a reader sees."""
    shown = "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]}\n… (the artifact of the run has the rest)"


def render(workflow: str, run: dict[str, Any], texts: dict[str, str]) -> list[str]:
    """Markdown: each text in a block of its own that it cannot leave."""
    verdict = "passed" if run["conclusion"] == "success" else "**failed**"
    parts = [f"`{workflow}` {verdict} for {run['head_sha']} ([log]({run['html_url']}))."]
    for name, title in TITLES.items():
        if texts.get(name, "").strip():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", texts[name])), default=0))
            state = " open" if name != "board.md" else ""
            block = f"{fence}text\n{texts[name].rstrip()}\n{fence}"
            parts.append(f"<details{state}><summary>{title}</summary>\n\n{block}\n\n</details>")
    return parts


def post(repository: str, number: int, marker: str, body: str) -> None:
    """Replace the comment that an earlier run made, else make one."""
    chosen = f'.[] | select(.user.login == "{BOT}" and (.body | startswith("{marker}"))) | .id'
    earlier = gh("--paginate", f"repos/{repository}/issues/{number}/comments", "--jq", chosen).split()
    where = f"issues/comments/{int(earlier[0])}" if earlier else f"issues/{number}/comments"
    method = "PATCH" if earlier else "POST"
    gh("--method", method, f"repos/{repository}/{where}", "--input", "-", given=json.dumps({"body": body}).encode())


def gh(*arguments: str, given: bytes = b"") -> bytes:
    """What GitHub's API answers; ends the program with its words where it refuses."""
    done = subprocess.run(["gh", "api", *arguments], input=given, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise SystemExit(f"gh api failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

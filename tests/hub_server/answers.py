"""The JSON that endpoints answer with."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.hub_server.store import Blob, Commit, PullRequest, Repository

if TYPE_CHECKING:
    from tests.hub_server.server import HubServer

_MOMENT = "2025-01-01T00:00:00.000Z"


def card_problems(text: str) -> list[str]:
    """What is wrong with a README's YAML head, as far as the Hub would refuse it."""
    import yaml

    if not text.startswith("---\n"):
        return []
    head, mark, _ = text[4:].partition("\n---\n")
    if not mark:
        return ["the YAML head does not end"]
    try:
        facts = yaml.safe_load(head)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(facts, dict):
        return ["the YAML head is not a mapping"]
    problems = [] if isinstance(facts.get("license", ""), str) else ['"license" must be a string']
    for config in facts.get("configs", []):
        if "config_name" not in config:
            problems.append('"configs" must have a "config_name"')
    names = [config.get("config_name") for config in facts.get("configs", [])]
    return problems + (['"configs" has a name twice'] if len(set(names)) != len(names) else [])


def upload_mode(hub: HubServer, asked: dict[str, Any], files: dict[str, Blob]) -> dict[str, Any]:
    mode = "lfs" if hub.is_large(asked["path"], asked["size"]) else "regular"
    there = files.get(asked["path"])
    return {
        "path": asked["path"],
        "uploadMode": mode,
        "shouldIgnore": False,
        "oid": there.etag if there else None,
    }


def commit_made(endpoint: str, repository: Repository, made: Commit, pull: PullRequest | None) -> dict[str, Any]:
    prefix = "" if repository.kind == "model" else f"{repository.kind}s/"
    answer = {
        "success": True,
        "commitOid": made.oid,
        "commitUrl": f"{endpoint}/{prefix}{repository.name}/commit/{made.oid}",
        "hookOutput": "",
    }
    if pull is not None:
        answer["pullRequestUrl"] = f"{endpoint}/{prefix}{repository.name}/discussions/{pull.num}"
    return answer


def repository(repository: Repository, commit: Commit) -> dict[str, Any]:
    return {
        "_id": "0" * 24,
        "id": repository.name,
        "author": repository.name.split("/")[0],
        "sha": commit.oid,
        "createdAt": _MOMENT,
        "lastModified": _MOMENT,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in commit.files],
    }


def refs(repository: Repository) -> dict[str, Any]:
    named = [
        {"name": name, "ref": name if name.startswith("refs/") else f"refs/heads/{name}", "targetCommit": oid}
        for name, oid in repository.refs.items()
    ]
    return {
        "branches": [each for each in named if each["ref"].startswith("refs/heads/")],
        "tags": [],
        "converts": [],
        "pullRequests": [each for each in named if each["ref"].startswith("refs/pr/")],
    }


def history(repository: Repository, revision: str) -> list[dict[str, Any]]:
    return [
        {"id": commit.oid, "title": commit.title, "message": "", "date": _MOMENT, "authors": []}
        for commit in repository.history(revision)
    ]


def tree(files: dict[str, Blob], below: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders in `below`; empty where it does not exist."""
    prefix = f"{below.rstrip('/')}/" if below else ""
    inside = {path: blob for path, blob in files.items() if path.startswith(prefix)}
    folders = {
        str(parent)
        for path in inside
        for parent in PurePosixPath(path).parents
        if str(parent) != "." and str(parent).startswith(prefix)
    }
    entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in sorted(folders)]
    entries += [file_entry(path, blob) for path, blob in inside.items()]
    return entries if recursive else [each for each in entries if "/" not in each["path"][len(prefix) :]]


def paths(files: dict[str, Blob], asked: list[str]) -> list[dict[str, Any]]:
    entries = []
    for path in asked:
        if path in files:
            entries.append(file_entry(path, files[path]))
        elif any(each.startswith(f"{path}/") for each in files):
            entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": path})
    return entries


def file_entry(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.git_oid, "size": blob.size, "path": path}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
    return entry


def discussion(repository: Repository, pull: PullRequest) -> dict[str, Any]:
    return {
        "num": pull.num,
        "title": pull.title,
        "status": pull.status,
        "author": {"name": pull.author},
        "isPullRequest": True,
        "events": [],
        "filesWithConflicts": [],
        "changes": {"base": "refs/heads/main", "mergeCommitId": pull.merge_commit},
        "repo": {"name": repository.name, "type": repository.kind},
        "createdAt": _MOMENT,
        "diff": "",
    }


def merged(author: str) -> dict[str, Any]:
    event = {"id": "0" * 24, "type": "status-change", "createdAt": _MOMENT, "author": {"name": author}}
    return {"newStatus": {**event, "data": {"status": "merged"}}}

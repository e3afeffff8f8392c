"""Configurations of a data set that the harness publishes on the Hub, fetched by the Hub's own client into its cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data import catalog
from harness.data.origins.hub import hub_errors
from harness.data.toml import read_toml
from harness.spec.errors import UsageError, unknown
from harness.storage import IntegrityError, file_id, read_json

PUBLISHED = "published.toml"
PROVENANCE = "provenance.json"
_HEAD = ("README.md", "croissant.json", PROVENANCE)
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class HubLocation:
    """A repository on the Hub, and the commit (or branch, or pull request) to read."""

    repo: str
    revision: str


@dataclass(frozen=True)
class Fetched:
    """folder: a snapshot in the Hub's cache. revision: full hash of its commit. files: by configuration."""

    folder: Path
    revision: str
    files: dict[str, tuple[Path, ...]]


def known_location(name: str) -> HubLocation:
    """Where a set is published, from `datasets/<name>/published.toml`, which holds `repo` and a full `revision`."""
    path = catalog.bundled_folder("datasets") / name / PUBLISHED
    if not path.is_file():
        raise UsageError(f"where {name} is published, this version of the harness does not know; add --repo ORG/NAME.")
    fields = read_toml(path)
    if not all(isinstance(fields.get(field), str) for field in ("repo", "revision")):
        raise UsageError(f"{path} must hold the texts `repo` and `revision`.")
    return HubLocation(fields["repo"], fields["revision"])


def fetch_configs(repo: str, configs: Sequence[str] = (), revision: str = "main") -> Fetched:
    """Fetch configurations, by default all, and check every file against the hash in the set's `provenance.json`.

    With HF_HUB_OFFLINE set, they are taken from the cache. Raises UsageError for what does not exist or cannot be
    reached, IntegrityError for a file that is not the one that was built.
    """
    check_repo(repo)
    with hub_errors(repo, revision, "name another one: a data set, and its branch, refs/pr/N or commit."):
        folder = _snapshot(repo, revision, list(_HEAD))
        if not (folder / PROVENANCE).is_file():
            raise UsageError(f"{repo} is not a data set that the harness published: it has no {PROVENANCE}.")
        shards = _shards(folder)
        known = sorted({shard["config"] for shard in shards})
        for config in configs:
            if config not in known:
                raise unknown(f"configuration of {repo}", config, known)
        wanted = [shard for shard in shards if not configs or shard["config"] in configs]
        # At the commit that the record was read from, whatever is published meanwhile.
        folder = _snapshot(repo, folder.name, [*_HEAD, *(shard["path"] for shard in wanted)])
    for shard in wanted:
        _check(folder / shard["path"], shard["sha256"])
    found = {shard["config"]: () for shard in wanted}
    files = {name: tuple(folder / each["path"] for each in wanted if each["config"] == name) for name in found}
    return Fetched(folder, folder.name, files)


def check_repo(repo: str) -> None:
    """Raise UsageError for what is not the name of a repository."""
    if not _REPO.fullmatch(repo):
        raise UsageError(f"{repo!r} is not the name of a repository; write it as ORG/NAME.")


def _snapshot(repo: str, revision: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=patterns))


def _shards(folder: Path) -> list[dict[str, Any]]:
    try:
        shards = read_json(folder / PROVENANCE)["shards"]
        fields = [{name: str(shard[name]) for name in ("config", "path", "sha256")} for shard in shards]
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / PROVENANCE} does not say which files there are.") from error
    for shard in fields:
        if shard["path"].startswith("/") or ".." in shard["path"].split("/") or re.search(r"[*?\[]", shard["path"]):
            raise IntegrityError(f"{folder / PROVENANCE} names a file outside of the data set: {shard['path']}.")
    return fields


def _check(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise IntegrityError(f"{path.name} is named in {PROVENANCE} but is not there; fetch it again when online.")
    if file_id(path) != sha256:
        raise IntegrityError(f"{path} is not the file that was built; remove {path.resolve()} and fetch it again.")

"""Repositories with commits, branches and pull requests. Contents are kept once each, by their hash."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

MAIN = "main"


@dataclass(frozen=True)
class Blob:
    """One content. `etag` is what the Hub calls it: the SHA-256 of large files, git's id of the others."""

    sha256: str
    size: int
    git_oid: str
    large: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Blob]


@dataclass
class PullRequest:
    num: int
    title: str
    author: str
    status: str = "open"
    merge_commit: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


class MissingError(Exception):
    """`kind` is the Hub's own word: RepoNotFound, RevisionNotFound or EntryNotFound."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Contents:
    """A folder of files named by their SHA-256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def add(self, data: bytes, *, large: bool = False) -> Blob:
        sha256 = hashlib.sha256(data).hexdigest()
        self.path(sha256).write_bytes(data)
        return self._blob(sha256, large)

    def adopt(self, file: Path) -> str:
        """Take over a file; returns its SHA-256."""
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        shutil.move(file, self.path(digest.hexdigest()))
        return digest.hexdigest()

    def large(self, sha256: str) -> Blob:
        return self._blob(sha256, True)

    def read(self, blob: Blob) -> bytes:
        return self.path(blob.sha256).read_bytes()

    def _blob(self, sha256: str, large: bool) -> Blob:
        size = self.path(sha256).stat().st_size
        if large:  # git holds a pointer in its place
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            return Blob(sha256, size, _git_oid(pointer), True)
        return Blob(sha256, size, _git_oid(self.path(sha256).read_bytes()), False)


@dataclass
class Repository:
    kind: str
    name: str
    contents: Contents
    gated: bool = False
    private: bool = False
    readers: set[str] = field(default_factory=set)
    """Accounts that may read it although it is gated or private."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.pulls: dict[int, PullRequest] = {}
        first = self.contents.add(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")
        self._append(MAIN, None, {".gitattributes": first}, "initial commit")

    def commit(self, revision: str) -> Commit:
        """By branch, `refs/pr/N` or a full or shortened hash. Raises MissingError."""
        oid = self.refs.get(revision) or self.refs.get(revision.removeprefix("refs/heads/"))
        if oid is None and len(revision) >= 7:
            oid = next((each for each in self.commits if each.startswith(revision)), None)
        if oid is None:
            raise MissingError("RevisionNotFound")
        return self.commits[oid]

    def blob(self, revision: str, path: str) -> Blob:
        files = self.commit(revision).files
        if path not in files:
            raise MissingError("EntryNotFound")
        return files[path]

    def change(self, revision: str, title: str, added: dict[str, Blob], deleted: list[str]) -> Commit:
        """A new commit on a branch or a pull request's ref. A name in `deleted` that ends in / is a folder."""
        with self._lock:
            head = self.commit(revision)
            files = {path: blob for path, blob in head.files.items() if not _is_deleted(path, deleted)}
            return self._append(revision, head.oid, {**files, **added}, title)

    def open_pull_request(self, title: str, author: str, base: str = MAIN) -> PullRequest:
        with self._lock:
            pull = PullRequest(len(self.pulls) + 1, title, author)
            self.pulls[pull.num] = pull
            self.refs[pull.ref] = self.commit(base).oid
            return pull

    def merge(self, num: int) -> Commit:
        with self._lock:
            pull = self.pulls[num]
            theirs, base = self.commit(pull.ref), self._fork_point(pull)
            added = {path: blob for path, blob in theirs.files.items() if base.files.get(path) != blob}
            deleted = [path for path in base.files if path not in theirs.files]
            commit = self.change(MAIN, f"Merge pull request {num}: {pull.title}", added, deleted)
            pull.status, pull.merge_commit = "merged", commit.oid
            return commit

    def history(self, revision: str = MAIN) -> list[Commit]:
        """Newest first."""
        commit: Commit | None = self.commit(revision)
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.commits[commit.parent] if commit.parent else None
        return found

    def read(self, path: str, revision: str = MAIN) -> bytes:
        return self.contents.read(self.blob(revision, path))

    def _fork_point(self, pull: PullRequest) -> Commit:
        ours = {commit.oid for commit in self.history(MAIN)}
        return next(commit for commit in self.history(pull.ref) if commit.oid in ours)

    def _append(self, ref: str, parent: str | None, files: dict[str, Blob], title: str) -> Commit:
        state = [
            self.kind,
            self.name,
            parent,
            title,
            len(self.commits),
            sorted((p, b.sha256) for p, b in files.items()),
        ]
        oid = hashlib.sha1(json.dumps(state).encode()).hexdigest()
        commit = Commit(oid, parent, title, dict(sorted(files.items())))
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit


def _is_deleted(path: str, deleted: list[str]) -> bool:
    return path in deleted or any(name.endswith("/") and path.startswith(name) for name in deleted)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

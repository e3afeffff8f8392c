"""Repositories on the Hugging Face Hub: a thin layer over its own client, whose login and endpoint are used.

A folder is sent in commits of bounded size; what is there already is neither sent nor committed again, so that a
publication that was cut off goes on, and one that changes nothing makes no commit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.origins.hub import is_transport_error
from harness.data.published_sets import check_repo
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, StorageError, file_id
from harness.storage.errors import reason

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FILES_PER_COMMIT = 50
BYTES_PER_COMMIT = 20 << 30
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CARD = "README.md"


@dataclass(frozen=True)
class PublishedRevision:
    """Where something lies now.

    revision: full hash of the newest commit. pull_request: its address, where one was opened. changed: whether anything
    was committed.
    """

    repo: str
    url: str
    revision: str
    pull_request: str | None
    changed: bool


def publish(
    files: Mapping[str, Path],
    repo: str,
    *,
    message: str,
    create_pr: bool = False,
    private: bool = False,
    owned: Sequence[str] = (),
) -> PublishedRevision:
    """Make the data set repository `repo` (`ORG/NAME`, made if it is missing) hold files, by their names there.

    Files of the repository that are not among them are left alone, but those below a folder in `owned`, such as
    "data/", are removed: they belong to an earlier state. The card goes last, so that it never speaks of files that are
    not there. With `create_pr` all goes into one new pull request.

    Raises UsageError with what to do where nobody is logged in, rights are missing, the Hub cannot be reached, or
    somebody else has committed meanwhile.
    """
    api = _ready(repo)
    with _as_usage_errors(repo):
        _make(api, repo, private)
        head = _head(api, repo)
        there = _listed(api, repo, head)
        changed = [name for name, path in files.items() if not _same(path, there.get(name))]
        stale = [name for name in there if name not in files and name.startswith(tuple(owned))]
        if not changed and not stale:
            return PublishedRevision(repo, _url(api, repo), head, None, False)
        head, pull_request = _commit(api, repo, head, _commits(files, changed, stale), message, create_pr)
    return PublishedRevision(repo, _url(api, repo), head, pull_request, True)


def files_of(folder: Path) -> dict[str, Path]:
    """What is published of a folder, by its name there: hidden files and locks stay at home. Raises UsageError for none."""
    from harness.storage import LOCK_NAMES

    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; build it first.")
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    hidden = {name for name in found if any(part.startswith(".") for part in name.parts) or name.name in LOCK_NAMES}
    return {name.as_posix(): path for name, path in found.items() if name not in hidden}


def _commits(files: Mapping[str, Path], changed: Sequence[str], stale: Sequence[str]) -> list[list[Any]]:
    """The operations of each commit: removals and the card in the last."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    groups = list(_groups([name for name in changed if name != _CARD], files)) or [[]]
    groups[-1] += [name for name in changed if name == _CARD]
    commits: list[list[Any]] = [[CommitOperationAdd(name, str(files[name])) for name in group] for group in groups]
    commits[-1] += [CommitOperationDelete(name) for name in stale]
    return commits


def _commit(
    api: HfApi, repo: str, head: str, commits: Sequence[list[Any]], message: str, create_pr: bool
) -> tuple[str, str | None]:
    """Make the commits, each upon the one before; returns the last and the address of the pull request."""
    revision, pull_request = "main", None
    for number, operations in enumerate(commits, start=1):
        made = api.create_commit(
            repo,
            operations,
            commit_message=message if len(commits) == 1 else f"{message} ({number} of {len(commits)})",
            repo_type="dataset",
            revision=revision,
            parent_commit=head,
            create_pr=create_pr and pull_request is None,
        )
        head = _full(made.oid)
        if create_pr and pull_request is None:
            pull_request, revision = made.pr_url, str(made.pr_revision)
    return head, pull_request


def _ready(repo: str) -> HfApi:
    """A client, after everything that can be said without asking the Hub."""
    from huggingface_hub import HfApi, constants, get_token

    check_repo(repo)
    if constants.HF_HUB_OFFLINE:
        raise UsageError("HF_HUB_OFFLINE is set, so nothing can be published; unset it.")
    if not get_token():
        raise UsageError("you are not logged in to the Hugging Face Hub; run: hf auth login (or set HF_TOKEN).")
    return HfApi()


def _make(api: HfApi, repo: str, private: bool) -> None:
    """The repository, unless it is there: who may not make one may still open a pull request."""
    if not api.repo_exists(repo, repo_type="dataset"):
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)


def _head(api: HfApi, repo: str) -> str:
    return _full(api.repo_info(repo, repo_type="dataset", revision="main").sha)


def _full(revision: str | None) -> str:
    if revision is None or not _COMMIT.fullmatch(revision):
        raise IntegrityError(f"the Hub answered {revision!r} where the full hash of a commit was due.")
    return revision


def _listed(api: HfApi, repo: str, revision: str) -> dict[str, Any]:
    """Files of the repository by path."""
    tree = api.list_repo_tree(repo, repo_type="dataset", revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if hasattr(entry, "blob_id")}


def _same(path: Path, entry: Any) -> bool:
    """Whether the Hub holds this very content: it names large files by their SHA-256, the others by git's hash."""
    if entry is None or entry.size != path.stat().st_size:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == file_id(path))
    data = path.read_bytes()
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def _groups(names: Sequence[str], files: Mapping[str, Path]) -> Iterator[list[str]]:
    """Names in commits of at most `FILES_PER_COMMIT` files and, beyond the first, `BYTES_PER_COMMIT` bytes."""
    left = iter(names)
    for first in left:
        group, size = [first], files[first].stat().st_size
        while len(group) < FILES_PER_COMMIT and size < BYTES_PER_COMMIT and (more := list(islice(left, 1))):
            group += more
            size += files[more[0]].stat().st_size
        yield group


def _url(api: HfApi, repo: str) -> str:
    return f"{api.endpoint}/datasets/{repo}"


@contextmanager
def _as_usage_errors(repo: str) -> Iterator[None]:
    """The client's errors as sentences that say what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise UsageError("HF_HUB_OFFLINE is set, so nothing can be published; unset it.") from error
    except errors.HfHubHTTPError as error:
        raise UsageError(_advice(repo, error)) from error
    except ValueError as error:  # of a card that the Hub does not accept
        raise UsageError(f"the Hub does not accept this for {repo}: {error}") from error
    except Exception as error:
        if is_transport_error(error):
            raise UsageError(f"the Hub cannot be reached for {repo}; check the network and run this again.") from error
        if isinstance(error, OSError):
            raise StorageError(f"Could not read what is to be published: {reason(error)}.") from error
        raise


def _advice(repo: str, error: Any) -> str:
    from huggingface_hub import errors

    code = error.response.status_code
    said = (error.server_message or "").strip().rstrip(".")
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{repo} does not exist on the Hub or is closed to this account; check the name and who is logged in."
    if code == 401:
        return "the Hub does not know the token that is used; run: hf auth login (or mend HF_TOKEN)."
    if code == 403:
        return (
            f"this account may not write to {repo}{f' (the Hub: {said})' if said else ''}; use a token with write access, "
            f"another name, or --create-pr if it exists."
        )
    if code == 412:
        return f"somebody else has committed to {repo} meanwhile; run this again."
    if code == 429 or code >= 500:
        return f"the Hub is busy ({code}); run this again later, it goes on where it stopped."
    return f"the Hub refused to take this for {repo}: {code} {said}".rstrip() + "."

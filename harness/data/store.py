"""Where fetched data lie: a read-only cache in which each file is kept once, under its sha256.

data/objects/<aa>/<sha256>     files as they were fetched, read-only
data/sets/<id>-<hash8>/        a data set's files under their paths: hard links to objects, links to what users have
                               elsewhere, and the members of archives, which are not kept themselves
data/sets/<id>-<hash8>.json    the index: what of the set is here, written after it is
data/incoming/                 what is just being fetched, or was when a fetch ended early
data/quarantine/               what was not what it should have been
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field, ValidationError

from harness.data import catalog
from harness.data.archives import Member
from harness.data.manifests import Manifest, dataset_manifests, find_dataset
from harness.data.origins.base import ProgressListener
from harness.spec.base import Document, Sha256, Slug, Spec
from harness.spec.errors import UsageError
from harness.spec.manifest import Commit, SourceFile
from harness.storage import (
    IntegrityError,
    StorageError,
    adopt,
    content_id,
    link,
    make_folder,
    move_into,
    read_json,
    remove,
    write_json,
)


class CachedFile(Spec):
    """One file of a data set that is here.

    sha256: of the file as it was fetched (of an archive: before it was unpacked; of a folder: over names and contents,
    None where nobody needed it). own: where it lies, if users have it elsewhere. example: one of the members.
    """

    sha256: Sha256 | None
    bytes: int
    revision: Commit | None = None
    own: str | None = None
    count: int = Field(default=1, description="of the members of an archive, or the files of a folder")
    example: str | None = None
    since: str = Field(default="", description="UTC, ISO 8601")


class Index(Document):
    """What of a data set is here, by the paths of its files."""

    dataset: Slug
    files: dict[str, CachedFile] = Field(default_factory=dict)


def data_folder() -> Path:
    """Everything that was fetched."""
    return catalog.cache_folder() / "data"


def sets_folder() -> Path:
    """The trees and indexes of data sets."""
    return catalog.sets_folder()


def set_folder(manifest: Manifest) -> Path:
    """Where the files of a data set lie, or would."""
    return sets_folder() / manifest.key


def dataset_folder(manifest: Manifest, pattern: str | None = None) -> Path:
    """The folder that holds all files of a fetched data set under their paths, or those whose path fits a pattern.

    Nothing in it may be changed. Raises UsageError that says how to fetch what is missing.
    """
    missing = [file for file in missing_files(manifest) if pattern is None or fnmatchcase(file.path, pattern)]
    if missing:
        names = ", ".join(file.path for file in missing[:3]) + (" …" if len(missing) > 3 else "")
        only = "" if pattern is None else f" --file {shlex.quote(pattern)}"
        raise UsageError(
            f"{manifest.spec.id} is not here yet ({len(missing)} of {len(manifest.spec.files)} files: {names}); "
            f"run: harness data fetch {reference(manifest)}{only}"
        )
    return set_folder(manifest)


def named_file(path: str) -> tuple[Manifest, SourceFile] | None:
    """The bundled data set and its file that `<data set>/<file>` names, if it names one."""
    name, _, inside = path.partition("/")
    if not inside or name not in dataset_manifests():
        return None
    manifest = find_dataset(name)
    return next(((manifest, file) for file in manifest.spec.files if file.path == inside), None)


def reference(manifest: Manifest) -> str:
    """How a command names a data set: by its id, or by the folder of a user's own manifest."""
    bundled = manifest.folder.parent.resolve() == catalog.bundled_folder("datasets").resolve()
    return manifest.spec.id if bundled else str(manifest.folder / "source.toml")


def missing_files(manifest: Manifest) -> list[SourceFile]:
    """The files of a data set that are not here, or are here as something else than has been recorded of them."""
    index = read_index(manifest.key, manifest.spec.id)
    return [file for file in manifest.spec.files if not is_here(manifest, file, index)]


def is_here(manifest: Manifest, file: SourceFile, index: Index) -> bool:
    """Whether a file of a data set is in its place, by a quick look: `harness data verify` reads it."""
    cached, folder, pin = index.files.get(file.path), set_folder(manifest), manifest.pin(file)
    if cached is None:
        return False
    unproven = file.unpacked is not None and cached.sha256 is None  # the user's folder in place of the archive
    if pin.sha256 is not None and cached.sha256 != pin.sha256 and not unproven:
        return False
    if pin.revision is not None and cached.revision not in (None, pin.revision):
        return False
    return (folder / (cached.example or file.path)).exists()


def read_index(key: str, dataset: str) -> Index:
    """What is here of the data set of this key; nothing, if it was never fetched. A damaged index counts as none."""
    path = index_path(key)
    if not path.is_file():
        return Index(dataset=dataset)
    try:
        return Index.model_validate(read_json(path))
    except (IntegrityError, ValidationError):
        return Index(dataset=dataset)


def record(manifest: Manifest, file: SourceFile, cached: CachedFile | None) -> None:
    """Note that a file is here from now on, or no longer; call it while `locked`."""
    index = read_index(manifest.key, manifest.spec.id)
    files = {path: each for path, each in index.files.items() if path != file.path}
    if cached is not None:
        files[file.path] = cached
    write_json(index_path(manifest.key), index.model_copy(update={"files": files}).canonical())


def place(manifest: Manifest, file: SourceFile, path: Path, sha256: str) -> None:
    """Keep a verified file under its sha256, and let the data set have it under its path; `path` is used up."""
    kept = object_path(sha256)
    adopt(path, kept)  # also over an older one, which may have been damaged since
    link(kept, set_folder(manifest) / file.path)


def place_members(manifest: Manifest, file: SourceFile, folder: Path, members: dict[str, Member]) -> None:
    """Move what was unpacked into the data set, all or nothing as far as anybody looks; `folder` is used up."""
    write_json(make_folder(_members_path(manifest, file).parent) / _members_path(manifest, file).name, members)
    move_into(folder, set_folder(manifest))
    remove(folder)


def read_members(manifest: Manifest, file: SourceFile) -> dict[str, Member]:
    """Size and sha256 of what was unpacked from an archive, by path. Raises IntegrityError where that is not known."""
    try:
        return {str(name): Member(*facts) for name, facts in read_json(_members_path(manifest, file)).items()}
    except (OSError, TypeError, AttributeError) as error:
        raise IntegrityError(f"what was unpacked from {file.path} is not known any more.") from error


def incoming_path(manifest: Manifest, file: SourceFile) -> Path:
    """Where the bytes of a file are collected: one place for each origin, whichever data set asks for it."""
    return data_folder() / "incoming" / f"{content_id(file.origin.canonical())[:32]}.part"


def object_path(sha256: str) -> Path:
    """Where a file of this hash is kept, or would be."""
    return data_folder() / "objects" / sha256[:2] / sha256


def index_path(key: str) -> Path:
    """The index of the data set of this key."""
    return sets_folder() / f"{key}.json"


def quarantine(path: Path, name: str, sha256: str) -> Path:
    """Put a bad file aside, where it can be looked at; returns where."""
    target = data_folder() / "quarantine" / f"{sha256[:12]}-{Path(name).name}"
    adopt(path, target)
    return target


def own_places() -> tuple[str, ...]:
    """Files and folders of users that data sets refer to: closed to methods like the cache itself."""
    indexes = (read_index(path.stem, "any") for path in sorted(sets_folder().glob("*.json")))
    return tuple(cached.own for index in indexes for cached in index.files.values() if cached.own is not None)


@contextmanager
def locked(path: Path, what: str, progress: ProgressListener) -> Iterator[None]:
    """Be the only process that works on `path`; waits for another one, and says so."""
    from filelock import FileLock, Timeout

    folder = make_folder(path.parent)
    # Who may write into the folder may lock what lies in it.
    lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o666 & folder.stat().st_mode)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"another process is busy with {what}; waiting for it")
            lock.acquire()
    except OSError as error:
        raise StorageError(
            f"Could not lock {path}: {error.strerror}; set HARNESS_CACHE to a folder of yours."
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_busy(path: Path) -> bool:
    """Whether a process works on `path` just now."""
    from filelock import FileLock, Timeout

    lock = path.with_name(f"{path.name}.lock")
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _members_path(manifest: Manifest, file: SourceFile) -> Path:
    return sets_folder() / f"{manifest.key}.members" / f"{content_id(file.path)[:16]}.json"

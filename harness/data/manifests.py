"""Finding data sets: their manifests `source.toml`, and the locks beside them that say what the files held."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from harness.data import catalog
from harness.data.toml import read_extended
from harness.spec.errors import UsageError, first_problem, unknown
from harness.spec.manifest import DataSet, HubFile, Lock, LockedFile, SourceFile
from harness.storage import IntegrityError, content_id, make_folder, read_json, write_json

MANIFEST, LOCK, CARD = "source.toml", "lock.json", "README.md"

_KEY_DIGITS = 8


class Pin(NamedTuple):
    """What is known of a file before it is fetched; None where nobody has recorded it."""

    sha256: str | None
    bytes: int | None
    revision: str | None


@dataclass(frozen=True)
class Manifest:
    """A data set as loaded: what it is made of, what has been recorded of its files, and the folder of both."""

    spec: DataSet
    lock: Lock | None
    folder: Path

    @cached_property
    def key(self) -> str:
        """`<id>-<8 digits>`, its name in the cache: changes with what is fetched and laid out, not with the lock."""
        layout = {"path", "origin", "unpack", "into", "folder", "members"}
        files = [file.model_dump(mode="json", include=layout) for file in self.spec.files]
        return f"{self.spec.id}-{content_id(files)[:_KEY_DIGITS]}"

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its sha256. What rests on other data sets cannot enter a ranked board."""
        return self.locked_by == "sha256"

    @property
    def locked_by(self) -> Literal["sha256", "md5"] | None:
        """By what every file is pinned: md5 where that is all that is public of one; None where one is not pinned."""
        if all(self.pin(file).sha256 for file in self.spec.files):
            return "sha256"
        return "md5" if all(self.pin(file).sha256 or locking_md5(file) for file in self.spec.files) else None

    def pin(self, file: SourceFile) -> Pin:
        """What the manifest or its lock says that the file holds."""
        recorded = self.lock.files.get(file.path) if self.lock else None
        revision = file.origin.revision if isinstance(file.origin, HubFile) else None
        if recorded is None:
            whole = bool(file.members) and file.member_digests.keys() == set(file.members)
            return Pin(members_id(file.member_digests) if whole else file.sha256, file.bytes, revision)
        return Pin(recorded.sha256, recorded.bytes, recorded.revision or revision)

    def identity(self, part: str) -> str:
        """A content id of a part of the data set, known before anything is fetched: of what its files are pinned to, of
        how they are read, and of the rules of its parts."""
        return content_id(
            {
                "files": self.key,
                "pins": [self.pin(file).sha256 for file in self.spec.files],
                "reader": self.spec.reader.canonical() if self.spec.reader else None,
                "parts": {name: each.canonical() for name, each in self.spec.parts.items()},
                "part": part,
            }
        )


def members_id(digests: Mapping[str, str]) -> str:
    """What is recorded of single members of an archive: one sha256 over their names and the sha256 of each."""
    return content_id([[name, digests[name]] for name in sorted(digests)])


def locking_md5(file: SourceFile) -> str | None:
    """The md5 that pins a file until its sha256 is recorded: none where only members of an archive are fetched."""
    return None if file.members else file.md5


def dataset_manifests() -> dict[str, Path]:
    """id -> source.toml of every bundled data set that says where its files come from."""
    return {path.parent.name: path for path in sorted(catalog.bundled_folder("datasets").glob(f"*/{MANIFEST}"))}


def read_datasets() -> tuple[dict[str, Manifest], dict[str, str]]:
    """Every bundled data set that can be read, by id; and what is wrong with any, in a sentence each."""
    found, problems = {}, {}
    for name, path in dataset_manifests().items():
        try:
            found[name] = find_dataset(name)
        except (UsageError, IntegrityError, OSError) as error:
            problems[name] = str(error)
        else:
            if not path.with_name(CARD).is_file():
                problems[name] = f"{path.parent} has no card; write a {CARD} that says what the data set is."
    return found, problems


def find_dataset(name_or_path: str | Path) -> Manifest:
    """The bundled data set of this id, or one of the user's own by the path of its `source.toml` or of its folder.

    Raises UsageError for an unknown name or a field to mend, IntegrityError for a damaged lock.
    """
    name = os.fspath(name_or_path)
    if name.endswith(".toml"):
        return load_manifest(Path(name))
    if os.sep in name or name in (".", ".."):
        return load_manifest(Path(name) / MANIFEST)
    known = dataset_manifests()
    if name not in known:
        raise unknown("data set", name, known, f"A data set of your own is the path of its {MANIFEST}.")
    manifest = load_manifest(known[name])
    if manifest.spec.id != name:
        raise UsageError(f"{known[name]}: id: it is {manifest.spec.id!r}, but its folder is called {name!r}.")
    return manifest


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest and the lock beside it; errors as `find_dataset`."""
    if not path.is_file():
        raise UsageError(f"there is no data set at {path}; name a bundled one (harness data list), or a {MANIFEST}.")
    try:
        spec = DataSet.model_validate(fields := read_extended(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error, data=fields)}") from error
    lock = _read_lock(path.with_name(LOCK))
    if lock is not None:
        _check_agreement(spec, lock, path.with_name(LOCK))
    return with_local_record(Manifest(spec, lock, path.parent))


def with_local_record(manifest: Manifest) -> Manifest:
    """The manifest, where a file is locked by md5 with the sha256 that the first fetch has recorded in the cache."""
    recorded = _local_record(manifest)
    files = {
        file.path: recorded[file.path] for file in manifest.spec.files if locking_md5(file) and file.path in recorded
    }
    if manifest.lock is not None:
        files.update(manifest.lock.files)
    elif not files:
        return manifest
    parts = manifest.lock.parts if manifest.lock else {}
    return replace(manifest, lock=Lock(dataset=manifest.spec.id, files=files, parts=parts))


def record_locally(manifest: Manifest, file: SourceFile, locked: LockedFile) -> None:
    """Keep, in the cache, the sha256 of a file that has the md5 that its manifest states."""
    path = _local_path(manifest)
    make_folder(path.parent)
    files = {**_local_record(manifest), file.path: locked}
    write_json(path, Lock(dataset=manifest.spec.id, files=files).canonical())


def _local_record(manifest: Manifest) -> dict[str, LockedFile]:
    """A damaged record counts as none: the md5 still holds."""
    try:
        lock = Lock.model_validate(read_json(_local_path(manifest)))
    except (OSError, IntegrityError, ValidationError):
        return {}
    return lock.files


def _local_path(manifest: Manifest) -> Path:
    """By the files and their md5: another published digest begins anew."""
    stated = content_id([manifest.key, [file.md5 for file in manifest.spec.files]])
    return catalog.cache_folder() / "data" / "recorded" / f"{manifest.spec.id}-{stated[:16]}.json"


def _read_lock(path: Path) -> Lock | None:
    if not path.is_file():
        return None
    try:
        return Lock.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(f"{path} is damaged: {first_problem(error)} Restore it, or lock anew.") from error


def _check_agreement(spec: DataSet, lock: Lock, path: Path) -> None:
    """A lock of other files would let wrong ones pass, or refuse right ones."""
    files = {file.path: file for file in spec.files}
    if lock.dataset != spec.id:
        raise IntegrityError(f"{path} belongs to the data set {lock.dataset}, not to {spec.id}; restore it.")
    for name, locked in lock.files.items():
        if name not in files:
            raise IntegrityError(f"{path} records {name}, which {MANIFEST} does not name; lock {spec.id} anew.")
        file = files[name]
        stated = (file.sha256, file.bytes, getattr(file.origin, "revision", None))
        recorded = (locked.sha256, locked.bytes, locked.revision)
        if any(
            one is not None and other is not None and one != other for one, other in zip(stated, recorded, strict=True)
        ):
            raise IntegrityError(f"{path} and {MANIFEST} disagree on {name}; correct one, or lock {spec.id} anew.")
    if stray := sorted(set(lock.parts) - set(spec.parts)):
        raise IntegrityError(
            f"{path} records the part {stray[0]}, which {MANIFEST} does not name; lock {spec.id} anew."
        )

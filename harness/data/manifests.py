"""Finding data sets: their manifests `source.toml`, and the locks beside them that say what the files held."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from harness.data import catalog
from harness.data.toml import read_extended
from harness.spec.errors import UsageError, first_problem, unknown
from harness.spec.manifest import DataSet, HubFile, Lock, SourceFile
from harness.storage import IntegrityError, content_id, read_json

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

    @property
    def key(self) -> str:
        """`<id>-<8 digits>`, its name in the cache: changes with what is fetched and laid out, not with the lock."""
        layout = {"path", "origin", "unpack", "into", "folder"}
        files = [file.model_dump(mode="json", include=layout) for file in self.spec.files]
        return f"{self.spec.id}-{content_id(files)[:_KEY_DIGITS]}"

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash. What rests on other data sets cannot enter a ranked board."""
        return all(self.pin(file).sha256 for file in self.spec.files)

    def pin(self, file: SourceFile) -> Pin:
        """What the manifest or its lock says that the file holds."""
        recorded = self.lock.files.get(file.path) if self.lock else None
        revision = file.origin.revision if isinstance(file.origin, HubFile) else None
        if recorded is None:
            return Pin(file.sha256, file.bytes, revision)
        return Pin(recorded.sha256, recorded.bytes, recorded.revision or revision)


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
    return Manifest(spec, lock, path.parent)


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

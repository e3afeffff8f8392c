"""Recording what the files of a data set are, so that others get the same ones or none."""

from __future__ import annotations

from pathlib import Path

from harness.data import store
from harness.data.fetch import FetchOptions, chosen_files, fetch
from harness.data.manifests import LOCK, Manifest
from harness.data.origins.own import folder_id
from harness.data.readers.opening import part_ids
from harness.spec.errors import UsageError
from harness.spec.manifest import Lock, LockedFile, SourceFile
from harness.storage import IntegrityError, write_json


def lock_dataset(manifest: Manifest, options: FetchOptions | None = None, into: Path | None = None) -> Path:
    """Fetch the files of a data set and write revision, size and sha256 of each into `lock.json`; returns its path.

    Where all files are here, the parts are recorded too: which samples they have, in which order. What is locked already stays
    as it is. Raises UsageError where the manifest does not lie in a checkout and `into` names no folder, IntegrityError
    for parts that are no longer what was recorded, and as `fetch`.
    """
    options = options or FetchOptions()
    folder = into if into is not None else _writable_home(manifest)
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; make it, or name another one.")
    fetch(manifest, options)
    files = dict(manifest.lock.files) if manifest.lock else {}
    for file in chosen_files(manifest, options.pattern):
        files.setdefault(file.path, _recorded(manifest, file, options))
    lock = Lock(dataset=manifest.spec.id, files=files, parts=_parts(manifest))
    write_json(folder / LOCK, lock.canonical())
    return folder / LOCK


def _writable_home(manifest: Manifest) -> Path:
    """The manifest's own folder, unless it belongs to an installation."""
    if "_bundled" in manifest.folder.parts:
        raise UsageError(
            f"{manifest.spec.id} is part of the installed package; lock it in a checkout, or name a folder with --into."
        )
    return manifest.folder


def _recorded(manifest: Manifest, file: SourceFile, options: FetchOptions) -> LockedFile:
    cached = store.read_index(manifest.key, manifest.spec.id).files[file.path]
    if cached.sha256 is None and file.unpacked is not None:
        raise UsageError(
            f"{file.path} of {manifest.spec.id} is here as a folder; to lock it, fetch the archive itself."
        )
    if cached.sha256 is None:  # a folder of the user's, which was not read before
        cached = cached.model_copy(
            update={"sha256": folder_id(store.set_folder(manifest) / file.path, options.progress)}
        )
        with store.locked(store.set_folder(manifest), manifest.spec.id, options.progress):
            store.record(manifest, file, cached)
    return LockedFile(sha256=str(cached.sha256), bytes=cached.bytes, revision=cached.revision)


def _parts(manifest: Manifest) -> dict[str, str]:
    """What each part is: those recorded before, and with all files here also the others."""
    recorded = dict(manifest.lock.parts) if manifest.lock else {}
    found = {} if store.missing_files(manifest) else part_ids(manifest, store.dataset_folder(manifest))
    for name, sha256 in recorded.items():
        if found.get(name, sha256) != sha256:
            raise IntegrityError(
                f"the part {name} of {manifest.spec.id} is not what was recorded: its rule or its reader was changed; undo "
                f"that, or remove {LOCK} and lock anew."
            )
    return {**found, **recorded}

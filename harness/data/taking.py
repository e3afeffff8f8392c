"""Files and folders that users have: found, looked at, checked, and referred to where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from harness.data import store
from harness.data.manifests import Manifest, Pin, locking_md5
from harness.data.origins.base import Digests, is_page
from harness.data.origins.own import find_own, folder_id, folder_size, is_theirs, listing
from harness.data.own_folders import count_sentence
from harness.data.requests import FetchOptions, difference, now, request_for
from harness.data.store import CachedFile
from harness.data.unpacking import unpack_into
from harness.spec.errors import UsageError
from harness.spec.manifest import Archive, SourceFile
from harness.storage import IntegrityError, copy_file, link, remove


def owned_files(manifest: Manifest, files: Sequence[SourceFile], options: FetchOptions) -> dict[str, Path]:
    """Where the user has the files, by path. Raises UsageError for a folder without any, or without one that only users
    can get."""
    if options.source is None:
        return {}
    if not options.source.exists():
        raise UsageError(f"--from {options.source} does not exist.")
    found = {file.path: find_own(manifest.spec, file, options.source) for file in files}
    if options.source.is_dir() and any(place is None for place in found.values()):
        below = [path.absolute() for _, path in listing(options.source) if is_theirs(path)]
        found |= {file.path: _find_below(manifest, file, below) for file in files if found[file.path] is None}
    owned = {path: place for path, place in found.items() if place is not None}
    lacking = [file.path for file in files if file.path not in owned and file.origin.kind == "own"]
    if lacking or not owned:
        absent = lacking or [file.path for file in files]
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise UsageError(
            f"{options.source} does not hold {', '.join(absent[:5])}{more}, which {manifest.spec.id} needs."
        )
    return owned


def _find_below(manifest: Manifest, file: SourceFile, below: Sequence[Path]) -> Path | None:
    """Where a file lies in subfolders: by its path or its last name; where several have that name, or none, by its digest.

    below: all files of the folder. Raises UsageError where several fit.
    """
    if file.folder:
        return None
    wanted = PurePosixPath(file.archive_name if file.members else file.path)
    named = [path for path in below if path.name == wanted.name]
    fits = [path for path in named if path.parts[-len(wanted.parts) :] == wanted.parts] or named
    if len(fits) == 1:
        return fits[0]
    sized = [] if manifest.pin(file).bytes is None else below
    proven = [path for path in fits or sized if _proven(manifest, file, path)]
    if fits and not proven:
        raise UsageError(
            f"{manifest.spec.id}: which is {file.path}, {' or '.join(map(str, fits))}? Name one by --from."
        )
    return proven[0] if proven else None


def _proven(manifest: Manifest, file: SourceFile, path: Path) -> bool:
    """Whether a file is the one that was recorded; it is read only where its size is right."""
    pin, md5 = manifest.pin(file), locking_md5(file)
    if file.members or not (pin.sha256 or md5) or pin.bytes not in (None, path.stat().st_size):
        return False
    digests = Digests.of(path)
    return digests.sha256 == pin.sha256 if pin.sha256 else digests.md5 == md5


def take(manifest: Manifest, file: SourceFile, path: Path, options: FetchOptions) -> CachedFile:
    """A file or folder that the user has: checked, then referred to, or copied if wished. Theirs is never changed."""
    request, target = request_for(manifest, file, options), store.set_folder(manifest) / file.path
    if path.is_dir():
        if file.folder:
            return _take_folder(manifest, file, path, options)
        options.progress.say(f"{path} is used in place of {file.path}; no digest proves what is in it")
        taken = _take_folder(manifest, file.as_folder(), path, options)
        return taken.model_copy(update={"example": file.unpacked})
    if file.archive is not None:
        return _take_archive(manifest, file, file.archive, path, options)
    _refuse_page(path, file)
    options.progress.begin(f"checking {path.name}", path.stat().st_size)
    digests = Digests.of(path, options.progress)
    whole = replace(request, pin=Pin(None, None, None)) if file.members else request
    if (problem := difference(digests, whole)) is not None:
        raise IntegrityError(f"{path} is not the {file.path} that was recorded for {manifest.spec.id}: {problem}.")
    cached = CachedFile(sha256=digests.sha256, bytes=digests.size, own=None if options.copy else str(path), since=now())
    if file.unpack is None and not options.copy:
        link(path, target, hard=False)
        return cached
    with store.locked(request.part, file.path, options.progress):
        if file.unpack is not None:
            return unpack_into(manifest, file, path, cached.model_copy(update={"own": str(path)}), options.progress)
        remove(request.part)
        copy_file(path, request.part)
        store.place(manifest, file, request.part, digests.sha256)
    return cached


def _take_archive(
    manifest: Manifest, file: SourceFile, archive: Archive, path: Path, options: FetchOptions
) -> CachedFile:
    """The archive that a folder is made of, checked and unpacked in place of the folder."""
    options.progress.begin(f"checking {path.name}", path.stat().st_size)
    digests = Digests.of(path, options.progress)
    if digests.sha256 != archive.sha256:
        raise IntegrityError(
            f"{path} is not the {archive.path} that was recorded for {manifest.spec.id}: its sha256 is "
            f"{digests.sha256[:12]}…, expected {archive.sha256[:12]}…."
        )
    remove(store.set_folder(manifest) / file.path)  # a link to a folder that was taken before
    cached = CachedFile(sha256=digests.sha256, bytes=digests.size, own=str(path), since=now())
    with store.locked(store.incoming_path(manifest, file), file.path, options.progress):
        return unpack_into(manifest, file, path, cached, options.progress)


def _refuse_page(path: Path, file: SourceFile) -> None:
    """A browser that was to log in first saves a page under the name of the file."""
    with path.open("rb") as stream:
        start = stream.read(1024)
    if is_page(start, path.name):
        raise IntegrityError(f"{path} is a web page that was saved in place of {file.path}; open it to see why.")


def _take_folder(manifest: Manifest, file: SourceFile, path: Path, options: FetchOptions) -> CachedFile:
    """A whole folder. All of it is read only where its hash is known: some have 150 GB."""
    target, expected = store.set_folder(manifest) / file.path, manifest.pin(file).sha256
    found = folder_id(path, options.progress) if expected is not None else None
    if found != expected:
        raise IntegrityError(f"{path} is not the {file.path} that was recorded for {manifest.spec.id}: files differ.")
    count, size = folder_size(path)
    if not count:
        raise UsageError(f"{path} is empty; --from names a folder that holds {file.path} of {manifest.spec.id}.")
    if (sentence := count_sentence(manifest.spec, file, path)) is not None:
        options.progress.say(sentence)
    if options.copy:
        remove(target)
        options.progress.begin(f"copying {path.name}", size)
        for name, each in listing(path):
            copy_file(each, target / name)
            options.progress.advance(each.stat().st_size)
    else:
        if target.is_dir() and not target.is_symlink():
            remove(target)  # what was unpacked or copied there before
        link(path, target, hard=False)
    own = None if options.copy else str(path)
    return CachedFile(sha256=found, bytes=size, own=own, count=count, since=now())

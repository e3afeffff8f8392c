"""Fetching a data set: each missing file from its origin or from what the user has, checked, then kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

from harness.data import store
from harness.data.manifests import Manifest, record_locally
from harness.data.origins import http, hub, own, package, zenodo
from harness.data.origins.base import (
    Client,
    Digests,
    DownloadedFile,
    DownloadRequest,
    OriginError,
    ProgressListener,
    RetryPolicy,
)
from harness.data.origins.own import find_own, folder_id, folder_size, listing
from harness.data.own_folders import count_sentence
from harness.data.store import CachedFile
from harness.data.unpacking import unpack_into
from harness.spec.errors import UsageError
from harness.spec.manifest import Archive, LockedFile, SourceFile
from harness.storage import IntegrityError, StorageError, copy_file, link, make_folder, remove

_CLIENTS: Mapping[str, Client] = {"hub": hub, "own": own, "package": package, "url": http, "zenodo": zenodo}
"""By the kind of origin, see `harness.spec.manifest.Origin`."""

_UNPACKED = 1.5  # times an archive's size, about, that its members need
_RESERVE = 1 << 28  # bytes to leave free


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    pattern: only files whose path fits (as in a shell). source: a folder, or file, in which the user has files already:
    they are referred to, not copied, unless `copy`.
    """

    pattern: str | None = None
    source: Path | None = None
    copy: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    progress: ProgressListener = field(default_factory=ProgressListener)


def fetch(manifest: Manifest, options: FetchOptions | None = None) -> Path:
    """Bring the missing files of a data set into the cache; returns the folder that holds them under their paths.

    What has been fetched before is kept, whatever happens, and the next call goes on from there. Raises UsageError
    (and OriginError, one of its kind) for what a user can mend, IntegrityError for files that are not what has been
    recorded of them, StorageError where the cache cannot be written or has no room.
    """
    options = options or FetchOptions()
    chosen = chosen_files(manifest, options.pattern)
    if _missing(manifest, chosen):
        try:
            with store.locked(store.set_folder(manifest), manifest.spec.id, options.progress):
                _fetch_missing(manifest, _missing(manifest, chosen), options)  # another process may have been at it
        except StorageError as error:
            raise StorageError(
                f"{error} What was fetched so far is kept. The cache is {store.data_folder()}; HARNESS_CACHE names "
                "another place for it."
            ) from error
    if unrecorded := sum(manifest.pin(file).sha256 is None and file.md5 is None for file in chosen):
        options.progress.say(
            f"{manifest.spec.id}: nobody has recorded the sha256 of {unrecorded} of {len(chosen)} files; what rests on "
            "them cannot enter a ranked board"
        )
    return store.set_folder(manifest)


def chosen_files(manifest: Manifest, pattern: str | None) -> list[SourceFile]:
    """The files whose path fits a pattern; all without one. Raises UsageError where none does."""
    files = [file for file in manifest.spec.files if pattern is None or fnmatchcase(file.path, pattern)]
    if not files:
        names = ", ".join(file.path for file in manifest.spec.files[:8])
        raise UsageError(f"no file of {manifest.spec.id} fits {pattern!r}; there are: {names}")
    return files


def _missing(manifest: Manifest, files: Sequence[SourceFile]) -> list[SourceFile]:
    index = store.read_index(manifest.key, manifest.spec.id)
    return [file for file in files if not store.is_here(manifest, file, index)]


def _fetch_missing(manifest: Manifest, files: Sequence[SourceFile], options: FetchOptions) -> None:
    owned = _owned(manifest, files, options)
    elsewhere = [_request(manifest, file, options) for file in files if file.path not in owned]
    for request in elsewhere:
        if request.file.origin.kind == "own":
            own.obtain(request)  # says where to ask, before others are fetched in vain
    _check_room(elsewhere)
    make_folder(store.set_folder(manifest))
    for file in files:
        if file.path in owned:
            cached = _take(manifest, file, owned[file.path], options)
        else:
            cached = _get_from_any(manifest, file, options)
        store.record(manifest, file, cached)
        if file.md5 is not None and manifest.pin(file).sha256 is None and cached.sha256 is not None:
            record_locally(
                manifest, file, LockedFile(sha256=cached.sha256, bytes=cached.bytes, revision=cached.revision)
            )
            options.progress.say(
                f"{file.path} has the published md5; its sha256 {cached.sha256} is recorded here, and what comes from now on "
                "is held against it"
            )


def _owned(manifest: Manifest, files: Sequence[SourceFile], options: FetchOptions) -> dict[str, Path]:
    """Where the user has the files, by path. Raises UsageError for a folder without any, or without one that only users
    can get."""
    if options.source is None:
        return {}
    if not options.source.exists():
        raise UsageError(f"--from {options.source} does not exist.")
    found = {file.path: find_own(manifest.spec, file, options.source) for file in files}
    owned = {path: place for path, place in found.items() if place is not None}
    lacking = [file.path for file in files if file.path not in owned and file.origin.kind == "own"]
    if lacking or not owned:
        absent = lacking or [file.path for file in files]
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise UsageError(
            f"{options.source} does not hold {', '.join(absent[:5])}{more}, which {manifest.spec.id} needs."
        )
    return owned


def _request(manifest: Manifest, file: SourceFile, options: FetchOptions) -> DownloadRequest:
    part = store.incoming_path(manifest, file)
    return DownloadRequest(
        manifest.spec, store.reference(manifest), file, manifest.pin(file), part, options.retry, options.progress
    )


def _check_room(requests: Sequence[DownloadRequest]) -> None:
    """Raise StorageError where the disk certainly is too small, before anything large is fetched."""
    archive = lasting = 0
    for request in requests:
        if request.file.unpack is None and request.pin.sha256 and store.object_path(request.pin.sha256).exists():
            continue
        size = request.pin.bytes or _CLIENTS[request.file.origin.kind].size(request) or request.file.about_bytes or 0
        collected = request.part.stat().st_size if request.part.exists() else 0
        if request.file.unpack is None:
            lasting += max(size - collected, 0)
        else:
            archive = max(archive, size - collected)  # one at a time: it goes once it is unpacked
            lasting += int(_UNPACKED * size)
    folder = make_folder(store.data_folder())
    free = shutil.disk_usage(folder).free
    if requests and archive + lasting + _RESERVE > free:
        raise StorageError(
            f"{requests[0].spec.id} needs about {(archive + lasting) / 1e9:.1f} GB on the disk, {free / 1e9:.1f} GB are free."
        )


def _get_from_any(manifest: Manifest, file: SourceFile, options: FetchOptions) -> CachedFile:
    """A file from its origin, or from the first mirror that gives what is recorded of it."""
    places = [file.model_copy(update={"origin": origin}) for origin in (file.origin, *file.mirrors)]
    for place in places[:-1]:
        try:
            return _get(manifest, _request(manifest, place, options))
        except (OriginError, IntegrityError) as error:
            options.progress.say(f"{str(error).rstrip('.')}; trying a mirror")
    return _get(manifest, _request(manifest, places[-1], options))


def _get(manifest: Manifest, request: DownloadRequest) -> CachedFile:
    """A file from its origin, checked, in its place."""
    file = request.file
    make_folder(request.part.parent)
    with store.locked(request.part, file.path, request.progress):
        if (again := _kept_before(manifest, request)) is not None:
            return again
        downloaded = _obtain(request)
        cached = CachedFile(
            sha256=downloaded.digests.sha256, bytes=downloaded.digests.size, revision=downloaded.revision, since=_now()
        )
        if file.unpack is None:
            store.place(manifest, file, downloaded.path, downloaded.digests.sha256)
        else:
            cached = unpack_into(manifest, file, downloaded.path, cached, request.progress)
            remove(downloaded.path)
        remove(request.part.with_suffix(".json"))
        return cached


def _kept_before(manifest: Manifest, request: DownloadRequest) -> CachedFile | None:
    """A file that another data set has brought already, if it is still what it was."""
    sha256 = request.pin.sha256
    if sha256 is None or request.file.unpack is not None or not store.object_path(sha256).exists():
        return None
    digests = Digests.of(store.object_path(sha256))
    if digests.sha256 != sha256:
        return None
    link(store.object_path(sha256), store.set_folder(manifest) / request.file.path)
    return CachedFile(sha256=sha256, bytes=digests.size, revision=request.pin.revision, since=_now())


def _obtain(request: DownloadRequest) -> DownloadedFile:
    """A file that is what it should be, at the second attempt if need be."""
    client = _CLIENTS[request.file.origin.kind]
    try:
        return _checked(client.obtain(request), request)
    except IntegrityError as error:
        request.progress.say(f"{error} Fetching it once more")
    return _checked(client.obtain(request), request)


def _checked(downloaded: DownloadedFile, request: DownloadRequest) -> DownloadedFile:
    """What was downloaded, if it fits all that is known of it; else it is put aside. Raises IntegrityError."""
    problem = _difference(downloaded.digests, request, downloaded.md5)
    if problem is None:
        return downloaded
    aside = store.quarantine(downloaded.path, request.file.path, downloaded.digests.sha256)
    raise IntegrityError(
        f"{request.file.path} is not the file that was recorded: {problem}; what came is kept at {aside}; {request.by_hand()}."
    )


def _difference(digests: Digests, request: DownloadRequest, published: str | None = None) -> str | None:
    """How a file differs from what is known of it."""
    pin = request.pin
    if pin.bytes is not None and digests.size != pin.bytes:
        return f"it has {digests.size} bytes, expected {pin.bytes}"
    if pin.sha256 is not None and digests.sha256 != pin.sha256:
        return f"its sha256 is {digests.sha256[:12]}…, expected {pin.sha256[:12]}…"
    for md5 in (request.file.md5, published):
        if md5 is not None and digests.md5 != md5:
            return f"its md5 is {digests.md5}, expected {md5}"
    return None


def _take(manifest: Manifest, file: SourceFile, path: Path, options: FetchOptions) -> CachedFile:
    """A file or folder that the user has: checked, then referred to, or copied if wished. Theirs is never changed."""
    request, target = _request(manifest, file, options), store.set_folder(manifest) / file.path
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
    if (problem := _difference(digests, request)) is not None:
        raise IntegrityError(f"{path} is not the {file.path} that was recorded for {manifest.spec.id}: {problem}.")
    cached = CachedFile(
        sha256=digests.sha256, bytes=digests.size, own=None if options.copy else str(path), since=_now()
    )
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
    cached = CachedFile(sha256=digests.sha256, bytes=digests.size, own=str(path), since=_now())
    with store.locked(store.incoming_path(manifest, file), file.path, options.progress):
        return unpack_into(manifest, file, path, cached, options.progress)


def _refuse_page(path: Path, file: SourceFile) -> None:
    """A browser that was to log in first saves a page under the name of the file."""
    with path.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) and path.suffix not in (".html", ".htm"):
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
    return CachedFile(sha256=found, bytes=size, own=own, count=count, since=_now())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

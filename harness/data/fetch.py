"""Fetching a data set: each missing file from its origin or from what the user has, checked, then kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harness.data import store
from harness.data.manifests import Manifest, locking_md5, record_locally
from harness.data.origins import http, hub, own, package, zenodo
from harness.data.origins.base import Client, Digests, DownloadedFile, DownloadRequest, OriginError
from harness.data.origins.ranges import open_remote
from harness.data.requests import FetchOptions as FetchOptions
from harness.data.requests import difference, now, request_for
from harness.data.store import CachedFile
from harness.data.taking import owned_files, take
from harness.data.unpacking import unpack_into
from harness.spec.errors import UsageError
from harness.spec.manifest import LockedFile, SourceFile
from harness.storage import IntegrityError, StorageError, link, make_folder, remove

_CLIENTS: Mapping[str, Client] = {"hub": hub, "own": own, "package": package, "url": http, "zenodo": zenodo}
"""By the kind of origin, see `harness.spec.manifest.Origin`."""

_UNPACKED = 1.5  # times an archive's size, about, that its members need
_RESERVE = 1 << 28  # bytes to leave free


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
    if unrecorded := sum(manifest.pin(file).sha256 is None and locking_md5(file) is None for file in chosen):
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
    owned = owned_files(manifest, files, options)
    elsewhere = [request_for(manifest, file, options) for file in files if file.path not in owned]
    for request in elsewhere:
        if request.file.origin.kind == "own":
            own.obtain(request)  # says where to ask, before others are fetched in vain
    _check_room(elsewhere)
    make_folder(store.set_folder(manifest))
    for file in files:
        if file.path in owned:
            cached = take(manifest, file, owned[file.path], options)
        else:
            cached = _get_from_any(manifest, file, options)
        store.record(manifest, file, cached)
        if locking_md5(file) and manifest.pin(file).sha256 is None and cached.sha256 is not None:
            record_locally(
                manifest, file, LockedFile(sha256=cached.sha256, bytes=cached.bytes, revision=cached.revision)
            )
            options.progress.say(
                f"{file.path} has the published md5; its sha256 {cached.sha256} is recorded here, and what comes from now on "
                "is held against it"
            )


def _check_room(requests: Sequence[DownloadRequest]) -> None:
    """Raise StorageError where the disk certainly is too small, before anything large is fetched."""
    archive = lasting = 0
    for request in requests:
        if request.file.unpack is None and request.pin.sha256 and store.object_path(request.pin.sha256).exists():
            continue
        size = request.pin.bytes or _size(request) or request.file.about_bytes or 0
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


def _size(request: DownloadRequest) -> int | None:
    """Bytes that will be fetched; None where the origin does not say, or says it of a whole archive only."""
    return None if request.file.members else _CLIENTS[request.file.origin.kind].size(request)


def _get_from_any(manifest: Manifest, file: SourceFile, options: FetchOptions) -> CachedFile:
    """A file from its origin, or from the first mirror that gives what is recorded of it."""
    places = [file.model_copy(update={"origin": origin}) for origin in (file.origin, *file.mirrors)]
    for place in places[:-1]:
        try:
            return _get(manifest, request_for(manifest, place, options))
        except (OriginError, IntegrityError) as error:
            options.progress.say(f"{str(error).rstrip('.')}; trying a mirror")
    return _get(manifest, request_for(manifest, places[-1], options))


def _get(manifest: Manifest, request: DownloadRequest) -> CachedFile:
    """A file from its origin, checked, in its place."""
    file = request.file
    make_folder(request.part.parent)
    with store.locked(request.part, file.path, request.progress):
        if (again := _kept_before(manifest, request)) is not None:
            return again
        if file.members:
            with open_remote(request) as archive:
                cached = CachedFile(sha256=None, bytes=0, since=now())
                return unpack_into(manifest, file, archive, cached, request.progress)
        downloaded = _obtain(request)
        cached = CachedFile(
            sha256=downloaded.digests.sha256, bytes=downloaded.digests.size, revision=downloaded.revision, since=now()
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
    return CachedFile(sha256=sha256, bytes=digests.size, revision=request.pin.revision, since=now())


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
    problem = difference(downloaded.digests, request, downloaded.md5)
    if problem is None:
        return downloaded
    aside = store.quarantine(downloaded.path, request.file.path, downloaded.digests.sha256)
    raise IntegrityError(
        f"{request.file.path} is not the file that was recorded: {problem}; what came is kept at {aside}; {request.by_hand()}."
    )

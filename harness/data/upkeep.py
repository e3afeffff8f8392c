"""Keeping the cache right and small: reading again what is in it, and making room."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from harness.data import store
from harness.data.catalog import prepared_folder
from harness.data.manifests import Manifest
from harness.data.origins.base import Digests, ProgressListener
from harness.data.origins.own import folder_id, folder_size
from harness.data.own_folders import count_sentence, look_at
from harness.data.store import CachedFile, Index
from harness.spec.errors import UsageError
from harness.spec.manifest import SourceFile
from harness.storage import LOCK_NAMES, IntegrityError, remove


class CacheEntry(NamedTuple):
    """Something that can be removed: what it is, where, and how many bytes that frees."""

    what: str
    path: Path
    bytes: int


def verify(manifest: Manifest, progress: ProgressListener | None = None) -> tuple[str, ...]:
    """Read all fetched files of a data set again; a sentence for each that is damaged or changed.

    Such a file counts as missing from then on, so that `harness data fetch` gets it anew; the bad bytes go to the
    quarantine, except where they are the user's own. Raises UsageError if nothing of the set was fetched.
    """
    index = store.read_index(manifest.key, manifest.spec.id)
    if not index.files:
        raise UsageError(
            f"nothing of {manifest.spec.id} is here to verify; run: harness data fetch {store.reference(manifest)}"
        )
    problems = []
    for file in manifest.spec.files:
        cached = index.files.get(file.path)
        problem = cached and _problem(manifest, file, cached, progress or ProgressListener())
        if problem:
            problems.append(f"{file.path}: {problem}")
            with store.locked(store.set_folder(manifest), manifest.spec.id, progress or ProgressListener()):
                store.record(manifest, file, None)
    return tuple(problems)


def removable(names: Collection[str], older: float | None, *, prepared: bool = False) -> list[CacheEntry]:
    """What `prune` would remove: the data sets of these ids (all, without any), fetched longer than `older` days ago.

    Objects that other data sets still have stay. Without names also what unfinished fetches and quarantines left.
    Prepared files stay unless they are asked for.
    """
    sets = sorted(store.sets_folder().glob("*.json"))
    indexes = {path.stem: store.read_index(path.stem, path.stem.rpartition("-")[0]) for path in sets}
    going = {key for key, index in indexes.items() if (not names or index.dataset in names) and _is_old(index, older)}
    staying = {cached.sha256 for key, index in indexes.items() if key not in going for cached in index.files.values()}
    entries = [
        CacheEntry(f"data set {indexes[key].dataset}", store.sets_folder() / key, _own_bytes(key))
        for key in sorted(going)
    ]
    objects = sorted((store.data_folder() / "objects").glob("*/*"))
    lost = {cached.sha256 for key in going for cached in indexes[key].files.values()} - staying
    freed = [path for path in objects if (path.name not in staying if not names else path.name in lost)]
    if older is not None:
        freed = [path for path in freed if path.name in lost]
    entries += [CacheEntry("file", path, path.stat().st_size) for path in freed]
    if not names:
        entries += _leftovers(older)
    if prepared:
        entries += [
            CacheEntry("prepared file", path, _bytes(path)) for path in _prepared(names) if _is_older(path, older)
        ]
    return entries


def prune(entries: Collection[CacheEntry], progress: ProgressListener | None = None) -> int:
    """Remove them; returns the bytes that this frees. What users have elsewhere is never touched."""
    for entry in entries:
        if entry.path.parent == store.sets_folder():
            with store.locked(entry.path, entry.what, progress or ProgressListener()):
                remove(store.index_path(entry.path.name))  # first: what is half removed must not seem to be here
                remove(entry.path)
                remove(entry.path.with_name(f"{entry.path.name}.members"))
        else:
            remove(entry.path)
    return sum(entry.bytes for entry in entries)


def _problem(manifest: Manifest, file: SourceFile, cached: CachedFile, progress: ProgressListener) -> str | None:
    if file.unpacked is not None and cached.sha256 is None:
        file = file.as_folder()
    path, pin = store.set_folder(manifest) / file.path, manifest.pin(file)
    if pin.sha256 is not None and cached.sha256 is not None and cached.sha256 != pin.sha256:
        return "it was fetched before it was recorded, and is another file than that"
    if file.unpack is not None or (file.folder and cached.example is not None and cached.sha256 is not None):
        return _bad_member(manifest, file, progress) or _changed_archive(cached, progress)
    if not path.exists():
        return "it is gone" + (f" (it was {cached.own})" if cached.own else "")
    if file.folder:
        look = look_at(manifest.spec, file, path)
        if look is not None and not look.found:
            return f"it has no {look.wanted}"
        if (sentence := count_sentence(manifest.spec, file, path)) is not None:
            progress.say(sentence)
        return _changed_folder(path, cached, progress)
    progress.begin(f"reading {file.path}", cached.bytes)
    digests = Digests.of(path, progress)
    if digests.sha256 == cached.sha256:
        return None
    if cached.own is not None:
        return f"{cached.own} was changed since it was taken"
    kept = store.object_path(cached.sha256 or "")
    aside = store.quarantine(kept if path.is_symlink() else path, file.path, digests.sha256)
    remove(kept)
    remove(path)
    return (
        f"its sha256 is {digests.sha256[:12]}…, expected {(cached.sha256 or '')[:12]}…; the bad file is kept at {aside}"
    )


def _bad_member(manifest: Manifest, file: SourceFile, progress: ProgressListener) -> str | None:
    """What is wrong with the first member of an archive that is not as it was unpacked."""
    try:
        members = store.read_members(manifest, file)
    except IntegrityError as error:
        return str(error).rstrip(".")
    progress.begin(f"reading {file.path}", sum(member.bytes for member in members.values()))
    for name, member in members.items():
        path = store.set_folder(manifest) / name
        if not path.is_file():
            return f"its member {name} is gone"
        if Digests.of(path, progress).sha256 != member.sha256:
            return f"its member {name} was changed"
    return None


def _changed_archive(cached: CachedFile, progress: ProgressListener) -> str | None:
    """Whether a user's own archive, if it is still there, is another one than when it was unpacked."""
    if cached.own is None or not Path(cached.own).is_file():
        return None
    progress.begin(f"reading {Path(cached.own).name}", Path(cached.own).stat().st_size)
    same = (
        Path(cached.own).stat().st_size == cached.bytes
        and Digests.of(Path(cached.own), progress).sha256 == cached.sha256
    )
    return None if same else f"{cached.own} was changed since it was unpacked"


def _changed_folder(path: Path, cached: CachedFile, progress: ProgressListener) -> str | None:
    count, size = folder_size(path)
    if (count, size) != (cached.count, cached.bytes):
        return f"it has {count} files of {size} bytes, not {cached.count} of {cached.bytes} as when it was taken"
    if cached.sha256 is not None and folder_id(path, progress) != cached.sha256:
        return "its files were changed since it was taken"
    return None


def _leftovers(older: float | None) -> Iterator[CacheEntry]:
    """Of fetches that ended early, not of those that run now, and files put aside."""
    for folder, what in (("incoming", "unfinished"), ("quarantine", "bad file")):
        for path in sorted((store.data_folder() / folder).glob("*")):
            if path.suffix != ".lock" and _is_older(path, older) and not store.is_busy(path.with_suffix(".part")):
                yield CacheEntry(what, path, _bytes(path))


def _prepared(names: Collection[str]) -> list[Path]:
    """Prepared files, of these data sets if any are named."""
    if not names:
        return sorted(path for path in prepared_folder().glob("*") if path.name not in LOCK_NAMES)
    from harness.data.manifests import find_dataset

    products = (product.path for name in names for product in find_dataset(name).spec.products)
    return [path for path in (prepared_folder() / product for product in products) if path.exists()]


def _is_old(index: Index, days: float | None) -> bool:
    """Whether the newest file of a set is older; a set whose index is damaged counts as old."""
    if days is None:
        return True
    newest = max((cached.since for cached in index.files.values()), default="")
    limit = datetime.now(timezone.utc) - timedelta(days=days)
    return not newest or datetime.fromisoformat(newest) < limit


def _is_older(path: Path, days: float | None) -> bool:
    limit = datetime.now(timezone.utc) - timedelta(days=days or 0)
    return days is None or datetime.fromtimestamp(path.lstat().st_mtime, timezone.utc) < limit


def _own_bytes(key: str) -> int:
    """Bytes that a set has to itself: of members, not of objects or of users' files."""
    folder = store.sets_folder() / key
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.stat().st_nlink == 1)


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    return path.lstat().st_size

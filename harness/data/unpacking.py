"""Archives of a data set: unpacked beside it, then moved in at once."""

from __future__ import annotations

from pathlib import Path

from harness.data import store
from harness.data.archives import Member, UnpackLimits, unpack
from harness.data.manifests import Manifest, members_id
from harness.data.origins.base import ProgressListener
from harness.data.origins.ranges import RemoteFile
from harness.data.store import CachedFile
from harness.spec.errors import UsageError
from harness.spec.manifest import SourceFile
from harness.storage import IntegrityError, StorageError, remove


def unpack_into(
    manifest: Manifest, file: SourceFile, archive: Path | RemoteFile, cached: CachedFile, progress: ProgressListener
) -> CachedFile:
    """Lay the members of an archive, or of the archive that a folder is made of, into its data set; nobody is told of
    them before they are all there.

    A bad archive is put aside, unless it is the user's own; IntegrityError, UnsafeArtefactError among them, says where.
    Raises UsageError for two archives of a set that hold different files under one name, StorageError as `unpack`.
    """
    kind, into = (file.archive.unpack, file.path) if file.archive else (file.unpack, file.into)
    assert kind is not None
    if file.unpacked is not None and (store.set_folder(manifest) / file.unpacked).is_symlink():
        remove(store.set_folder(manifest) / file.unpacked)  # nothing is ever laid into a folder of the user's
    folder = store.incoming_path(manifest, file).with_suffix(".unpacked")
    remove(folder)  # of an earlier attempt
    try:
        members = unpack(archive, kind, folder / (into or ""), file.path, progress, UnpackLimits(wanted=file.wants))
        if file.members:
            cached = _checked(manifest, file, members, cached)
        inside = {f"{into}/{name}" if into else name: member for name, member in members.items()}
        _check_overlap(manifest, file, inside)
    except (StorageError, UsageError):
        remove(folder)
        raise
    except IntegrityError as error:
        remove(folder)
        if cached.own is not None or isinstance(archive, RemoteFile):
            raise
        aside = store.quarantine(archive, file.path, cached.sha256 or "")
        raise type(error)(f"{error} It is kept at {aside}.") from error
    store.place_members(manifest, file, folder, inside)
    return cached.model_copy(update={"count": len(inside), "example": next(iter(inside))})


def _checked(manifest: Manifest, file: SourceFile, members: dict[str, Member], cached: CachedFile) -> CachedFile:
    """What is kept of single members of an archive, if they are all that are wanted, and what has been recorded."""
    where = f"{file.archive_name} of {manifest.spec.id}"
    for pattern in file.members:
        if not any(file.model_copy(update={"members": (pattern,)}).wants(name) for name in members):
            raise IntegrityError(f"{where} has no member that fits {pattern!r}: it is another archive than was meant.")
    for name, sha256 in file.member_digests.items():
        found = [members[each].sha256 for each in members if each == name or each.endswith(f"/{name}")]
        if found != [sha256]:
            theirs = f"its sha256 is {found[0][:12]}…, expected {sha256[:12]}…" if found else "it is not there"
            raise IntegrityError(f"{name} in {where} is not the file that was recorded: {theirs}.")
    whole = members_id({name: member.sha256 for name, member in members.items()})
    if manifest.pin(file).sha256 not in (None, whole):
        raise IntegrityError(f"the members of {where} are not those that were recorded for {file.path}.")
    size = sum(member.bytes for member in members.values())
    return cached.model_copy(update={"sha256": whole, "bytes": size, "own": None})


def _check_overlap(manifest: Manifest, file: SourceFile, members: dict[str, Member]) -> None:
    """Several archives may bring the same file, such as a licence, but not different ones under the same name."""
    index = store.read_index(manifest.key, manifest.spec.id)
    for other in manifest.spec.files:
        if other.path == file.path:
            continue
        if other.unpack is None:
            clash = next((name for name in members if f"{name}/".startswith(f"{other.path}/")), None)
        elif other.path in index.files:
            theirs = _members(manifest, other)
            clash = next((name for name in theirs.keys() & members if theirs[name] != members[name]), None)
        else:
            clash = None
        if clash is not None:
            raise UsageError(
                f"{file.path} and {other.path} of {manifest.spec.id} both hold {clash}; give one of them a folder of its own "
                f"(`into`) in {manifest.folder / 'source.toml'}."
            )


def _members(manifest: Manifest, file: SourceFile) -> dict[str, Member]:
    try:
        return store.read_members(manifest, file)
    except IntegrityError:  # of another archive: `verify` tells of it
        return {}

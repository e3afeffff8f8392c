"""Files and folders that users have already: found in what they name with `--from`, never fetched."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NoReturn

from harness.data.catalog import cache_folder
from harness.data.origins.base import Digests, DownloadRequest, OriginError, ProgressListener
from harness.data.own_folders import look_at
from harness.spec.errors import UsageError
from harness.spec.manifest import DataSet, OwnFile, SourceFile
from harness.storage import content_id


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`: unknown."""
    return None


def obtain(request: DownloadRequest) -> NoReturn:
    """Nobody can fetch these. Raises OriginError that says where to ask for them."""
    origin = request.file.origin
    assert isinstance(origin, OwnFile)
    terms = f" ({request.spec.terms.rstrip('.')})" if request.spec.terms else ""
    raise OriginError(
        f"{request.file.path} of {request.spec.id} cannot be fetched for you: ask for it at {origin.page}{terms}, then run: "
        f"harness data fetch {request.name} --from FOLDER"
    )


def find_own(spec: DataSet, file: SourceFile, source: Path) -> Path | None:
    """Where a file, or folder, of a data set lies in what a user has named; None where it does not.

    source: a folder that holds it under its path, or under its last name (blanks around a folder's name do not matter);
    or, for a data set of one file, that itself; of a folder, the archive that it is made of, too, and it may lie deeper. Raises UsageError where all such folders hold nothing that is read.
    """
    name = PurePosixPath(file.path).name
    places = [source / file.path, source / name]
    if file.members:
        places += [source / file.archive_name, *([source] if source.name == file.archive_name else [])]
    if file.folder and source.is_dir():
        places += sorted(place for place in source.iterdir() if place.name != name and place.name.strip() == name)
    if len(spec.files) == 1 or source.name.strip() == name:
        places.append(source)
    if not file.folder:
        found = next((place.absolute() for place in places if place.is_file()), None)
        return found if found or file.unpacked is None else find_own(spec, file.as_folder(), source)
    looks = [(place, look_at(spec, file, place)) for place in places if place.is_dir()]
    for place, look in looks:
        if look is None or look.found:
            return place.absolute()
    if file.archive is not None:
        archives = (source, source / file.archive.path)
        if found := next((place for place in archives if place.name == file.archive.path and place.is_file()), None):
            return found.absolute()
    for place in _folders_below(source, name):
        if (look := look_at(spec, file, place)) is None or look.found:
            return place.absolute()
    if looks and looks[0][1] is not None:
        place, look = looks[0][0], looks[0][1]
        state = f"has no {look.wanted}" if any(place.iterdir()) else "is empty"
        raise UsageError(f"{place} {state}; --from names a folder that holds {file.path} of {spec.id}.")
    return None


def _folders_below(source: Path, name: str) -> list[Path]:
    """Folders of a name below another, those that lie higher first; without those of the cache."""
    found = [Path(place) / each for place, folders, _ in os.walk(source) for each in folders if each.strip() == name]
    return sorted(filter(is_theirs, found), key=lambda path: (len(path.parts), path))


def is_theirs(path: Path) -> bool:
    """Whether a file or folder is a user's own, not what an earlier fetch has left in the cache."""
    return not path.absolute().is_relative_to(cache_folder().absolute())


def listing(folder: Path) -> list[tuple[str, Path]]:
    """Relative names and paths of all files below a folder, links followed, in the order of their names."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link that leads back up
            continue
        seen.add(real)
        found += [Path(place) / name for name in names]
    return sorted((path.relative_to(folder).as_posix(), path) for path in found if path.is_file())


def folder_size(folder: Path) -> tuple[int, int]:
    """How many files lie below a folder, and how many bytes they have."""
    sizes = [path.stat().st_size for _, path in listing(folder)]
    return len(sizes), sum(sizes)


def folder_id(folder: Path, progress: ProgressListener) -> str:
    """One sha256 over the names and contents of all files below a folder; reads them all."""
    progress.begin(f"hashing {folder.name}", folder_size(folder)[1])
    return content_id([[name, Digests.of(path, progress).sha256] for name, path in listing(folder)])

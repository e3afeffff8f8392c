"""Files that installed Python packages bring along."""

from __future__ import annotations

from pathlib import Path

from harness.data.origins.base import Digests, DownloadedFile, DownloadRequest, OriginError
from harness.data.packages import package_folder
from harness.spec.manifest import PackageFile
from harness.storage import copy_file, remove


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`."""
    return packaged(request).stat().st_size


def obtain(request: DownloadRequest) -> DownloadedFile:
    """As `base.Client`: a copy, because a link would let a later installation change what was verified."""
    path = packaged(request)
    remove(request.part)
    copy_file(path, request.part)
    return DownloadedFile(request.part, Digests.of(request.part))


def packaged(request: DownloadRequest) -> Path:
    """The file in the package's folder, found without importing it. Raises OriginError where it is missing."""
    origin = request.file.origin
    assert isinstance(origin, PackageFile)
    folder = package_folder(origin.package)
    if folder is None:
        raise OriginError(
            f"{request.spec.id} comes with the package {origin.package}, which is not installed: pip install {origin.package}"
        )
    path = folder / origin.file
    if not path.is_file():
        raise OriginError(
            f"the installed {origin.package} has no {origin.file}; try another version: pip install -U {origin.package}"
        )
    return path

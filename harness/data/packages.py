"""Files that installed Python packages bring along, found without importing the packages: that would cost seconds."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

from harness.spec.errors import UsageError
from harness.storage import IntegrityError, bytes_id


def package_folder(package: str) -> Path | None:
    """The folder of an installed package; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def package_bytes(package: str, file: str, sha256: str) -> bytes:
    """The content of a package's file, unpacked where its name ends in `.gz`.

    A benchmark whose data changed with a package must fail, not drift: raises IntegrityError for content of another
    sha256, UsageError where the package or the file is not installed.
    """
    folder = package_folder(package)
    if folder is None:
        raise UsageError(f"the embedded data need the package {package}, which is not installed: pip install {package}")
    path = folder / file
    if not path.is_file():
        raise UsageError(
            f"the installed {package} has no {file}; install another version: pip install --upgrade {package}"
        )
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if (found := bytes_id(content)) != sha256:
        raise IntegrityError(
            f"{path} is not the file that the embedded benchmarks were made with (sha256 {found[:12]}…, expected "
            f"{sha256[:12]}…); reinstall {package}, or install another version of it."
        )
    return content

"""Maps of explainers in a data set repository on the Hugging Face Hub, pinned by its commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.boards.maps import LARGEST_FETCHED
from harness.data.catalog import cache_folder
from harness.data.origins.hub import is_transport_error
from harness.publish.hub import publish
from harness.spec.errors import UsageError
from harness.spec.submission import Maps

_DATA_SET = "dataset"


def upload_maps(repo: str, file: Path, path: str) -> str:
    """Commit a file to a data set repository, which is made if it is missing; returns the full commit that holds it.

    Raises UsageError where the Hub cannot be reached or refuses: without a login, or in somebody else's name.
    """
    return publish({path: file}, repo, message=f"Add {path}").revision


def fetch_maps(maps: Maps) -> Path:
    """The file of maps that a submission refers to, at its commit and of the size that it says. As anybody: no login.

    What is in it is for `harness.boards.maps.read_maps` to check. Raises UsageError where it cannot be had.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    if maps.repo is None or maps.file is None or maps.bytes is None:
        raise ValueError("these maps are not on the Hub")
    if maps.bytes > LARGEST_FETCHED:
        raise UsageError(
            f"the maps in {maps.repo} have {maps.bytes / 1e6:,.0f} MB, more than the {LARGEST_FETCHED / 1e6:,.0f} MB "
            "that are fetched."
        )
    where = f"{maps.file} in {maps.repo} at {maps.revision}"
    with _refused(where):
        url = hf_hub_url(maps.repo, maps.file, repo_type=_DATA_SET, revision=maps.revision)
        found = get_hf_file_metadata(url, token=False)
        if found.size != maps.bytes or found.commit_hash != maps.revision:
            raise UsageError(f"the Hub has {found.size} bytes of {where}, the submission says {maps.bytes}.")
        return Path(
            hf_hub_download(
                maps.repo,
                maps.file,
                repo_type=_DATA_SET,
                revision=maps.revision,
                token=False,
                cache_dir=cache_folder() / "maps",
            )
        )


@contextmanager
def _refused(where: str) -> Iterator[None]:
    """What the client raises for a Hub that cannot be reached, for its refusals, and for names that it does not take."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError | ValueError) and not is_transport_error(error):
            raise
        raise UsageError(f"the maps could not be fetched: {where} ({_said(error)}).") from error


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join((lines[0] if lines else type(error).__name__).split())[:300]

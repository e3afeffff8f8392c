"""Files of the Hugging Face Hub, by its own client: its token store, its endpoint (`HF_ENDPOINT`), its offline mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.data.origins.base import Digests, DownloadedFile, DownloadRequest, OriginError, ProgressListener, offline
from harness.spec.manifest import HubFile
from harness.storage import StorageError, adopt, copy_file, make_folder, remove
from harness.storage.errors import reason


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if offline():
        return None
    origin = _origin(request)
    with _trouble(request):
        url = hf_hub_url(origin.repo, origin.file, repo_type=origin.repo_type, revision=request.pin.revision)
        return get_hf_file_metadata(url).size


def obtain(request: DownloadRequest) -> DownloadedFile:
    """As `base.Client`, at a full commit: the recorded one, else the newest, which is then told."""
    from huggingface_hub import HfApi, hf_hub_download

    origin = _origin(request)
    if offline():
        return _from_its_cache(request)
    folder = make_folder(request.part.with_suffix(".hub"))  # the Hub's client keeps its own record of parts there
    with _trouble(request):
        revision = request.pin.revision or HfApi().repo_info(origin.repo, repo_type=origin.repo_type).sha
        path = hf_hub_download(
            origin.repo,
            origin.file,
            repo_type=origin.repo_type,
            revision=revision,
            local_dir=folder,
            tqdm_class=_bar_of(request.progress, request.file.path),
        )
    adopt(Path(path), request.part)
    remove(folder)
    return DownloadedFile(request.part, Digests.of(request.part), revision)


def _from_its_cache(request: DownloadRequest) -> DownloadedFile:
    """Without network, what other programs have already fetched from the Hub at the recorded commit."""
    from huggingface_hub import try_to_load_from_cache

    origin = _origin(request)
    known = request.pin.revision and try_to_load_from_cache(
        origin.repo, origin.file, revision=request.pin.revision, repo_type=origin.repo_type
    )
    if not isinstance(known, str):
        raise OriginError(
            f"{request.file.path} is not here and HF_HUB_OFFLINE is set, nor does the Hub's own cache hold it; unset it, "
            f"or {request.by_hand()}"
        )
    remove(request.part)
    copy_file(Path(known), request.part)
    return DownloadedFile(request.part, Digests.of(request.part), request.pin.revision)


@contextmanager
def _trouble(request: DownloadRequest) -> Iterator[None]:
    """The Hub's errors as sentences that say what to do."""
    import httpx2
    from huggingface_hub import errors

    origin = _origin(request)
    page = f"https://huggingface.co/{'datasets/' if origin.repo_type == 'dataset' else ''}{origin.repo}"
    unreachable = f"the Hub cannot be reached for {origin.repo}; check the network and run this again."
    try:
        yield
    except errors.LocalEntryNotFoundError as error:  # which is an EntryNotFoundError to Python
        raise OriginError(unreachable) from error
    except errors.GatedRepoError as error:
        raise OriginError(
            f"{origin.repo} is gated: ask for access at {page}, then log in (hf auth login) and run this again; "
            f"{request.access()}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise OriginError(
            f"{page} does not exist, or is private (log in: hf auth login); {request.by_hand()}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise OriginError(f"{page} has no commit {request.pin.revision} any more; {request.by_hand()}") from error
    except errors.EntryNotFoundError as error:
        raise OriginError(f"{page} has no {origin.file}; {request.by_hand()}") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        advice = f"{request.access()}; log in: hf auth login" if code in (401, 403) else "run this again later"
        raise OriginError(
            f"{page} says {code} {error.response.reason_phrase}; {advice}, or {request.by_hand()}"
        ) from error
    except (httpx2.HTTPError, ConnectionError) as error:
        raise OriginError(unreachable) from error
    except OSError as error:
        raise StorageError(f"Could not fetch {request.file.path} from the Hub: {reason(error)}.") from error


def _bar_of(progress: ProgressListener, name: str) -> Any:
    """The listener in the form of progress bar that the Hub's client takes."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            progress.begin(name, options.get("total"), options.get("initial") or 0)
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            progress.advance(int(n or 0))

    return Bar


def _origin(request: DownloadRequest) -> HubFile:
    assert isinstance(request.file.origin, HubFile)
    return request.file.origin

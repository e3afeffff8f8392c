"""Files of the Hugging Face Hub, by its own client: its token store, its endpoint (`HF_ENDPOINT`), its offline mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from harness.data.origins.base import Digests, DownloadedFile, DownloadRequest, OriginError, ProgressListener, offline
from harness.spec.manifest import HubFile
from harness.storage import StorageError, adopt, copy_file, make_folder, remove
from harness.storage.errors import reason

_TRANSPORTS = {"httpx", "httpx2", "httpcore", "requests", "urllib3"}
"""Packages whose errors the versions of huggingface_hub let through where the network fails."""


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if offline():
        return None
    origin = _origin(request)
    with _errors(request):
        url = hf_hub_url(origin.repo, origin.file, repo_type=origin.repo_type, revision=request.pin.revision)
        return get_hf_file_metadata(url).size


def obtain(request: DownloadRequest) -> DownloadedFile:
    """As `base.Client`, at a full commit: the recorded one, else the newest, which is then told."""
    from huggingface_hub import HfApi, hf_hub_download

    origin = _origin(request)
    if offline():
        return _from_its_cache(request)
    if (announced := size(request)) is not None:
        request.check_announced(announced)
    folder = make_folder(request.part.with_suffix(".hub"))  # the Hub's client keeps its own record of parts there
    with _errors(request):
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
def hub_errors(
    repo: str,
    revision: str | None,
    instead: str,
    *,
    repo_type: str = "dataset",
    file: str = "such file",
    access: str = "",
) -> Iterator[None]:
    """The Hub's errors as sentences that say what to do. instead, access: what else can be done, and how access is asked
    for, as ends of sentences. Raises OriginError, and StorageError where files cannot be written."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{'datasets/' if repo_type == 'dataset' else ''}{repo}"
    unreachable = f"the Hub cannot be reached for {repo}; check the network (and HF_HUB_OFFLINE) and run this again."
    try:
        yield
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise OriginError(unreachable) from error
    except errors.GatedRepoError as error:
        advice = f"ask for access at {page}, then log in (hf auth login) and run this again"
        raise OriginError("; ".join(filter(None, (f"{repo} is gated: {advice}", access)))) from error
    except errors.RepositoryNotFoundError as error:
        raise OriginError(
            f"{repo} does not exist on the Hub or is closed to this account (log in: hf auth login); {instead}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise OriginError(f"{repo} has no revision {revision} (any more); {instead}") from error
    except errors.EntryNotFoundError as error:
        raise OriginError(f"{repo} has no {file}; {instead}") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        login = "; ".join(filter(None, ("run: hf auth login (or mend HF_TOKEN)", access)))
        advice = login if code in (401, 403) else "try again later"
        raise OriginError(f"the Hub answers {code} for {repo}; {advice}, or {instead}") from error
    except Exception as error:
        if is_transport_error(error):
            raise OriginError(unreachable) from error
        if isinstance(error, OSError):
            raise StorageError(f"Could not keep what the Hub sent of {repo}: {reason(error)}.") from error
        raise


def is_transport_error(error: Exception) -> bool:
    """Whether it says that the Hub could not be reached."""
    return isinstance(error, ConnectionError) or type(error).__module__.split(".")[0] in _TRANSPORTS


def _errors(request: DownloadRequest) -> AbstractContextManager[None]:
    origin = _origin(request)
    return hub_errors(
        origin.repo,
        request.pin.revision,
        request.by_hand(),
        repo_type=origin.repo_type,
        file=origin.file,
        access=request.access(),
    )


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

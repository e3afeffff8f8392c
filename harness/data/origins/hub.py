"""Files of the Hugging Face Hub, by its own client: its token store, its endpoint (`HF_ENDPOINT`), its offline mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.data.origins.base import Digests, Errand, Got, OriginError, Watch, offline
from harness.spec.manifest import HubFile
from harness.storage import StorageError, adopt, copy_file, make_folder, remove
from harness.storage.errors import reason


def size(errand: Errand) -> int | None:
    """As `base.Client`."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if offline():
        return None
    origin = _origin(errand)
    with _trouble(errand):
        url = hf_hub_url(origin.repo, origin.file, repo_type=origin.repo_type, revision=errand.pin.revision)
        return get_hf_file_metadata(url).size


def obtain(errand: Errand) -> Got:
    """As `base.Client`, at a full commit: the recorded one, else the newest, which is then told."""
    from huggingface_hub import HfApi, hf_hub_download

    origin = _origin(errand)
    if offline():
        return _from_its_cache(errand)
    folder = make_folder(errand.part.with_suffix(".hub"))  # the Hub's client keeps its own book of parts there
    with _trouble(errand):
        revision = errand.pin.revision or HfApi().repo_info(origin.repo, repo_type=origin.repo_type).sha
        path = hf_hub_download(
            origin.repo,
            origin.file,
            repo_type=origin.repo_type,
            revision=revision,
            local_dir=folder,
            tqdm_class=_bar_of(errand.watch, errand.file.path),
        )
    adopt(Path(path), errand.part)
    remove(folder)
    return Got(errand.part, Digests.of(errand.part), revision)


def _from_its_cache(errand: Errand) -> Got:
    """Without network, what other programs have already fetched from the Hub at the recorded commit."""
    from huggingface_hub import try_to_load_from_cache

    origin = _origin(errand)
    known = errand.pin.revision and try_to_load_from_cache(
        origin.repo, origin.file, revision=errand.pin.revision, repo_type=origin.repo_type
    )
    if not isinstance(known, str):
        raise OriginError(
            f"{errand.file.path} is not here and HF_HUB_OFFLINE is set, nor does the Hub's own cache hold it; unset it, "
            f"or {errand.by_hand()}"
        )
    remove(errand.part)
    copy_file(Path(known), errand.part)
    return Got(errand.part, Digests.of(errand.part), errand.pin.revision)


@contextmanager
def _trouble(errand: Errand) -> Iterator[None]:
    """The Hub's errors as sentences that say what to do."""
    import httpx2
    from huggingface_hub import errors

    origin = _origin(errand)
    page = f"https://huggingface.co/{'datasets/' if origin.repo_type == 'dataset' else ''}{origin.repo}"
    unreachable = f"the Hub cannot be reached for {origin.repo}; check the network and run this again."
    try:
        yield
    except errors.LocalEntryNotFoundError as error:  # which is an EntryNotFoundError to Python
        raise OriginError(unreachable) from error
    except errors.GatedRepoError as error:
        raise OriginError(
            f"{origin.repo} is gated: ask for access at {page}, then log in (hf auth login) and run this again; "
            f"{errand.access()}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise OriginError(
            f"{page} does not exist, or is private (log in: hf auth login); {errand.by_hand()}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise OriginError(f"{page} has no commit {errand.pin.revision} any more; {errand.by_hand()}") from error
    except errors.EntryNotFoundError as error:
        raise OriginError(f"{page} has no {origin.file}; {errand.by_hand()}") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        advice = f"{errand.access()}; log in: hf auth login" if code in (401, 403) else "run this again later"
        raise OriginError(
            f"{page} says {code} {error.response.reason_phrase}; {advice}, or {errand.by_hand()}"
        ) from error
    except (httpx2.HTTPError, ConnectionError) as error:
        raise OriginError(unreachable) from error
    except OSError as error:
        raise StorageError(f"Could not fetch {errand.file.path} from the Hub: {reason(error)}.") from error


def _bar_of(watch: Watch, name: str) -> Any:
    """The watch in the form of progress bar that the Hub's client takes."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            watch.begin(name, options.get("total"), options.get("initial") or 0)
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            watch.advance(int(n or 0))

    return Bar


def _origin(errand: Errand) -> HubFile:
    assert isinstance(errand.file.origin, HubFile)
    return errand.file.origin

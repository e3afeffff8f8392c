"""Plain HTTP that goes on where it stopped: after a broken connection, and after the process was killed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import harness
from harness.data.origins.base import (
    PAGE_NAMES,
    Digests,
    DownloadedFile,
    DownloadRequest,
    OriginError,
    is_page,
    refuse_offline,
)
from harness.spec.manifest import UrlFile
from harness.storage import IntegrityError, growing, read_json, remove, write_json

if TYPE_CHECKING:
    import httpx2

Value = TypeVar("Value")

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_ATTEMPTS_TO_RESOLVE = 2
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_JSON_NAMES = (".json", ".jsonl", ".ndjson", ".geojson", ".ipynb")


class TransientError(Exception):
    """Worth another attempt, perhaps after a wait that the server names (seconds)."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class UnresolvedNameError(TransientError):
    """The server's name has no address: there is no network, or no such server. Hardly ever mended by waiting."""


def size(request: DownloadRequest) -> int | None:
    """As `base.Client`."""
    assert isinstance(request.file.origin, UrlFile)
    return content_length(request.file.origin.url, request)


def obtain(request: DownloadRequest) -> DownloadedFile:
    """As `base.Client`."""
    assert isinstance(request.file.origin, UrlFile)
    return download(request.file.origin.url, request)


def content_length(url: str, request: DownloadRequest) -> int | None:
    """What a HEAD request says; None for any trouble, because the download itself will say it better."""
    import httpx2

    refuse_offline(request)
    try:
        with open_client(request) as client:
            answer = client.head(url)
    except httpx2.HTTPError:
        return None
    length = answer.headers.get("content-length", "")
    return int(length) if answer.status_code == 200 and length.isdecimal() else None


def download(url: str, request: DownloadRequest) -> DownloadedFile:
    """The bytes at an address, collected in `request.part`; resumed there if that holds the beginning of the same file."""
    refuse_offline(request)
    memory: dict[int, Digests] = {}
    with open_client(request) as client:
        return with_retries(lambda: _stream(client, url, request, memory), url, request)


def get_json(url: str, request: DownloadRequest) -> Any:
    """The value of a JSON answer, such as a record's description."""

    def ask() -> Any:
        with open_client(request) as client, transport_errors(request):
            answer = client.get(url)
            check_status(answer, request)
            return answer.json()

    refuse_offline(request)
    try:
        return with_retries(ask, url, request)
    except ValueError as error:
        raise OriginError(f"{url} does not answer with JSON; {request.by_hand()}") from error


def with_retries(attempt: Callable[[], Value], url: str, request: DownloadRequest) -> Value:
    """The value of `attempt()`, tried again after transient errors with growing waits, as `request.retry` says."""
    retry, fruitless = request.retry, 0
    while True:
        before = _collected(request.part)
        try:
            return attempt()
        except TransientError as error:
            fruitless = 1 if _collected(request.part) > before else fruitless + 1
            wait = error.wait if error.wait is not None else retry.first_wait * 2 ** (fruitless - 1)
            if error.wait is not None and error.wait > retry.longest_wait:
                raise OriginError(
                    f"{url}: {error}, and asks to wait {error.wait:.0f} s; run this again then."
                ) from None
            attempts = (
                min(retry.attempts, _ATTEMPTS_TO_RESOLVE) if isinstance(error, UnresolvedNameError) else retry.attempts
            )
            if fruitless >= attempts:
                raise OriginError(
                    f"{url}: {error}, {fruitless} times in a row; check the network and run this again (it goes on "
                    f"from where it stopped), or {request.by_hand()}"
                ) from None
            wait = min(wait, retry.longest_wait)
            request.progress.say(f"{request.file.path}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _stream(client: httpx2.Client, url: str, request: DownloadRequest, memory: dict[int, Digests]) -> DownloadedFile:
    """One attempt. `memory` has the digests of what earlier ones have collected, by its size."""
    digests, headers = _beginning(url, request, memory)
    if digests.size and digests.sha256 == request.pin.sha256:
        return DownloadedFile(request.part, digests)  # a fetch was stopped between its last byte and its end
    with transport_errors(request), client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416 and headers:
            return _after_the_end(answer, digests, request)
        check_status(answer, request)
        if url.startswith("https:") and answer.url.scheme != "https" and request.pin.sha256 is None:
            raise OriginError(f"{url} leads to {answer.url}, which is not encrypted; {request.by_hand()}")
        if answer.status_code != 206 or not _goes_on(answer, digests.size, headers):
            if answer.status_code == 206:
                _forget(request.part)
                raise TransientError("the server sent another part than it was asked for", 0.0)
            digests = Digests()
            _start_over(url, answer, request)
        total = _total(answer, digests.size)
        _check_length(url, total, request)
        request.progress.begin(request.file.path, total or request.pin.bytes, digests.size)
        try:
            _collect(answer, digests, request, total)
        finally:
            memory[digests.size] = digests
    whole = total or request.pin.bytes
    if whole is not None and digests.size < whole:
        raise TransientError(f"the connection ended after {digests.size} of {whole} bytes")
    return DownloadedFile(request.part, digests)


def _collect(answer: httpx2.Response, digests: Digests, request: DownloadRequest, total: int | None) -> None:
    with growing(request.part) as stream:
        for chunk in chunks(answer, digests.size == 0, request):
            stream.write(chunk)
            digests.update(chunk)
            request.progress.advance(len(chunk))
            if request.pin.bytes is not None and digests.size > request.pin.bytes:
                return  # more than expected: what it is will be told by its hash
            if total is None and digests.size > request.most:
                _forget(request.part)
                raise request.too_large(f"has more than {request.most} bytes")


def _beginning(url: str, request: DownloadRequest, memory: dict[int, Digests]) -> tuple[Digests, dict[str, str]]:
    """What has been collected before, and the headers that ask for the rest; without a proof of sameness, nothing."""
    facts = _facts(request.part)
    sure = facts.get("url") == url and (facts.get("validator") or request.pin.sha256)
    if not sure or not _collected(request.part):
        _forget(request.part)
        return Digests(), {}
    digests = memory.pop(_collected(request.part), None)
    if digests is None:
        request.progress.begin(f"checking what is here of {request.file.path}", None)
        digests = Digests.of(request.part)
    memory.clear()
    proof = {"If-Range": str(facts["validator"])} if facts.get("validator") else {}
    return digests, {"Range": f"bytes={digests.size}-", **proof}


def _goes_on(answer: httpx2.Response, start: int, headers: dict[str, str]) -> bool:
    """Whether a partial answer is the rest of what is here: some servers heed Range, but not If-Range."""
    given, proof = validator(answer), headers.get("If-Range")
    same = given is None or proof is None or given == proof
    return same and answer.headers.get("content-range", "").startswith(f"bytes {start}-")


def _after_the_end(answer: httpx2.Response, digests: Digests, request: DownloadRequest) -> DownloadedFile:
    """There is no rest to ask for: either all is here already, or what is here belongs to another file."""
    if answer.headers.get("content-range", "") == f"bytes */{digests.size}":
        return DownloadedFile(request.part, digests)
    _forget(request.part)
    raise TransientError("the file is shorter than what was fetched before", 0.0)


def _start_over(url: str, answer: httpx2.Response, request: DownloadRequest) -> None:
    _forget(request.part)
    write_json(_facts_path(request.part), {"url": url, "validator": validator(answer)})


def _total(answer: httpx2.Response, start: int) -> int | None:
    length = answer.headers.get("content-length", "")
    return start + int(length) if length.isdecimal() else None


def _check_length(url: str, total: int | None, request: DownloadRequest) -> None:
    """Raise for an announced length that cannot be right, before anything comes."""
    if total is not None:
        request.check_announced(total)
    if total is not None and request.pin.bytes is not None and total != request.pin.bytes:
        _forget(request.part)
        raise IntegrityError(
            f"{url} has {total} bytes, but {request.pin.bytes} are recorded for {request.file.path}: it was changed, or "
            f"this is not the file; {request.by_hand()}"
        )


def chunks(answer: httpx2.Response, first: bool, request: DownloadRequest) -> Iterator[bytes]:
    """The body as it comes, as long as it comes fast enough and is no web page."""
    retry = request.retry
    since, count = time.monotonic(), 0
    for chunk in answer.iter_raw():
        if first and chunk and _is_page(answer, chunk, request):
            _forget(request.part)
            raise OriginError(
                f"{answer.url} answers with a web page instead of {request.file.path} (a login, a consent form or a file "
                f"that moved); {request.by_hand()}"
            )
        if first and chunk and _is_message(answer, chunk, request):
            _forget(request.part)
            text = " ".join(chunk[:200].decode("utf-8", "replace").split())
            raise OriginError(f"{answer.url} answers with {text!r} instead of {request.file.path}; {request.by_hand()}")
        first, count = first and not chunk, count + len(chunk)
        yield chunk
        if time.monotonic() - since > retry.stall:
            if count < retry.least_bytes:
                raise TransientError(f"only {count} bytes came in {retry.stall:.0f} s")
            since, count = time.monotonic(), 0


def _is_page(answer: httpx2.Response, start: bytes, request: DownloadRequest) -> bool:
    if request.file.path.lower().endswith(PAGE_NAMES):
        return False
    return _stated(answer) in _PAGE_TYPES or is_page(start, request.file.path)


def _is_message(answer: httpx2.Response, start: bytes, request: DownloadRequest) -> bool:
    """Whether a file that is none of JSON comes as such: what an interface says in place of an error."""
    names, known = request.file.path.lower(), request.pin.sha256 is not None
    return _stated(answer) == "application/json" and start[:1] in b"{[" and not (known or names.endswith(_JSON_NAMES))


def _stated(answer: httpx2.Response) -> str:
    return str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()


def check_status(answer: httpx2.Response, request: DownloadRequest) -> None:
    """Raise TransientError where another attempt may succeed, OriginError where none will."""
    code, said = answer.status_code, f"{answer.url} says {answer.status_code} {answer.reason_phrase}".rstrip()
    if code in _PASSING:
        raise TransientError(f"the server says {code} {answer.reason_phrase}".rstrip(), _retry_after(answer))
    if code in (401, 403):
        raise OriginError(
            f"{said}: access to {request.file.path} is restricted; {request.access()}; {request.by_hand()}"
        )
    if code in (404, 410):
        raise OriginError(f"{said}: {request.file.path} is no longer there; {request.by_hand()}")
    if code not in (200, 206):
        raise OriginError(f"{said}; {request.by_hand()}")


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds, from either of the two forms of the header."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return max(0.0, (then - datetime.now(timezone.utc)).total_seconds())


def validator(answer: httpx2.Response) -> str | None:
    """What proves that a later answer is of the same file: a strong ETag, else the time of its last change."""
    etag = answer.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    changed = answer.headers.get("last-modified")
    return str(changed) if changed else None


@contextmanager
def transport_errors(request: DownloadRequest) -> Iterator[None]:
    """Transport errors of the client as TransientError or, where no other attempt can succeed, OriginError."""
    import httpx2

    try:
        yield
    except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
        raise OriginError(f"{request.file.path}: its address leads nowhere ({error}); {request.by_hand()}") from error
    except httpx2.ConnectTimeout as error:
        raise TransientError("the server cannot be reached") from error
    except httpx2.TimeoutException as error:
        raise TransientError(f"nothing came for {request.retry.stall:.0f} s") from error
    except httpx2.TransportError as error:
        if _unresolved(error):
            raise UnresolvedNameError(f"the name of the server is not found ({error})") from error
        raise TransientError(f"the connection broke ({str(error) or type(error).__name__})") from error


def _unresolved(error: BaseException | None) -> bool:
    """Whether an error goes back to a name without an address."""
    while error is not None and not isinstance(error, socket.gaierror):
        error = error.__cause__ or error.__context__
    return error is not None


def open_client(request: DownloadRequest) -> httpx2.Client:
    import httpx2

    # Not compressed on the way: hashes and ranges are those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"harness/{harness.__version__}"}
    timeout = httpx2.Timeout(request.retry.stall, connect=request.retry.connect)
    return httpx2.Client(headers=headers, timeout=timeout, follow_redirects=True)


def _collected(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _facts_path(part: Path) -> Path:
    return part.with_suffix(".json")


def _facts(part: Path) -> dict[str, Any]:
    """Of which file `part` is the beginning; nothing where that cannot be told."""
    try:
        facts = read_json(_facts_path(part))
    except (OSError, IntegrityError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _forget(part: Path) -> None:
    remove(part)
    remove(_facts_path(part))

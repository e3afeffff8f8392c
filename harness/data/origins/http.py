"""Plain HTTP that goes on where it stopped: after a broken connection, and after the process was killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import harness
from harness.data.origins.base import Digests, Errand, Got, OriginError, refuse_offline
from harness.spec.manifest import UrlFile
from harness.storage import IntegrityError, growing, read_json, remove, write_json

if TYPE_CHECKING:
    import httpx2

Value = TypeVar("Value")

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_PAGE_STARTS = (b"<!doctype html", b"<html")


class Hitch(Exception):  # noqa: N818 - it is mended, not reported
    """What may pass: worth another attempt, perhaps after a wait that the server names (seconds)."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


def size(errand: Errand) -> int | None:
    """As `base.Client`."""
    assert isinstance(errand.file.origin, UrlFile)
    return content_length(errand.file.origin.url, errand)


def obtain(errand: Errand) -> Got:
    """As `base.Client`."""
    assert isinstance(errand.file.origin, UrlFile)
    return download(errand.file.origin.url, errand)


def content_length(url: str, errand: Errand) -> int | None:
    """What a HEAD request says; None for any trouble, because the download itself will say it better."""
    import httpx2

    refuse_offline(errand)
    try:
        with _client(errand) as client:
            answer = client.head(url)
    except httpx2.HTTPError:
        return None
    length = answer.headers.get("content-length", "")
    return int(length) if answer.status_code == 200 and length.isdecimal() else None


def download(url: str, errand: Errand) -> Got:
    """The bytes at an address, collected in `errand.part`; resumed there if that holds the beginning of the same file."""
    refuse_offline(errand)
    memory: dict[int, Digests] = {}
    with _client(errand) as client:
        return patiently(lambda: _stream(client, url, errand, memory), url, errand)


def get_json(url: str, errand: Errand) -> Any:
    """The value of a JSON answer, such as a record's description."""

    def ask() -> Any:
        with _client(errand) as client, _hitches(errand):
            answer = client.get(url)
            _check_status(answer, errand)
            return answer.json()

    refuse_offline(errand)
    try:
        return patiently(ask, url, errand)
    except ValueError as error:
        raise OriginError(f"{url} does not answer with JSON; {errand.by_hand()}") from error


def patiently(attempt: Callable[[], Value], url: str, errand: Errand) -> Value:
    """The value of `attempt()`, tried again after hitches with growing waits, as `errand.patience` says."""
    patience, fruitless = errand.patience, 0
    while True:
        before = _collected(errand.part)
        try:
            return attempt()
        except Hitch as hitch:
            fruitless = 1 if _collected(errand.part) > before else fruitless + 1
            wait = hitch.wait if hitch.wait is not None else patience.first_wait * 2 ** (fruitless - 1)
            if hitch.wait is not None and hitch.wait > patience.longest_wait:
                raise OriginError(
                    f"{url}: {hitch}, and asks to wait {hitch.wait:.0f} s; run this again then."
                ) from None
            if fruitless >= patience.attempts:
                raise OriginError(
                    f"{url}: {hitch}, {fruitless} times in a row; check the network and run this again (it goes on "
                    f"from where it stopped), or {errand.by_hand()}"
                ) from None
            wait = min(wait, patience.longest_wait)
            errand.watch.say(f"{errand.file.path}: {hitch}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _stream(client: httpx2.Client, url: str, errand: Errand, memory: dict[int, Digests]) -> Got:
    """One attempt. `memory` has the digests of what earlier ones have collected, by its size."""
    digests, headers = _beginning(url, errand, memory)
    if digests.size and digests.sha256 == errand.pin.sha256:
        return Got(errand.part, digests)  # a fetch was stopped between its last byte and its end
    with _hitches(errand), client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416 and headers:
            return _after_the_end(answer, digests, errand)
        _check_status(answer, errand)
        if url.startswith("https:") and answer.url.scheme != "https" and errand.pin.sha256 is None:
            raise OriginError(f"{url} leads to {answer.url}, which is not encrypted; {errand.by_hand()}")
        if answer.status_code != 206 or not _goes_on(answer, digests.size, headers):
            if answer.status_code == 206:
                _forget(errand.part)
                raise Hitch("the server sent another part than it was asked for", 0.0)
            digests = Digests()
            _start_over(url, answer, errand)
        total = _total(answer, digests.size)
        _check_length(url, total, errand)
        errand.watch.begin(errand.file.path, total or errand.pin.bytes, digests.size)
        try:
            _collect(answer, digests, errand)
        finally:
            memory[digests.size] = digests
    whole = total or errand.pin.bytes
    if whole is not None and digests.size < whole:
        raise Hitch(f"the connection ended after {digests.size} of {whole} bytes")
    return Got(errand.part, digests)


def _collect(answer: httpx2.Response, digests: Digests, errand: Errand) -> None:
    with growing(errand.part) as stream:
        for chunk in _chunks(answer, digests.size == 0, errand):
            stream.write(chunk)
            digests.update(chunk)
            errand.watch.advance(len(chunk))
            if errand.pin.bytes is not None and digests.size > errand.pin.bytes:
                return  # more than expected: what it is will be told by its hash


def _beginning(url: str, errand: Errand, memory: dict[int, Digests]) -> tuple[Digests, dict[str, str]]:
    """What has been collected before, and the headers that ask for the rest; without a proof of sameness, nothing."""
    facts = _facts(errand.part)
    sure = facts.get("url") == url and (facts.get("validator") or errand.pin.sha256)
    if not sure or not _collected(errand.part):
        _forget(errand.part)
        return Digests(), {}
    digests = memory.pop(_collected(errand.part), None)
    if digests is None:
        errand.watch.begin(f"checking what is here of {errand.file.path}", None)
        digests = Digests.of(errand.part)
    memory.clear()
    proof = {"If-Range": str(facts["validator"])} if facts.get("validator") else {}
    return digests, {"Range": f"bytes={digests.size}-", **proof}


def _goes_on(answer: httpx2.Response, start: int, headers: dict[str, str]) -> bool:
    """Whether a partial answer is the rest of what is here: some servers heed Range, but not If-Range."""
    given, proof = _validator(answer), headers.get("If-Range")
    same = given is None or proof is None or given == proof
    return same and answer.headers.get("content-range", "").startswith(f"bytes {start}-")


def _after_the_end(answer: httpx2.Response, digests: Digests, errand: Errand) -> Got:
    """There is no rest to ask for: either all is here already, or what is here belongs to another file."""
    if answer.headers.get("content-range", "") == f"bytes */{digests.size}":
        return Got(errand.part, digests)
    _forget(errand.part)
    raise Hitch("the file is shorter than what was fetched before", 0.0)


def _start_over(url: str, answer: httpx2.Response, errand: Errand) -> None:
    _forget(errand.part)
    write_json(_facts_path(errand.part), {"url": url, "validator": _validator(answer)})


def _total(answer: httpx2.Response, start: int) -> int | None:
    length = answer.headers.get("content-length", "")
    return start + int(length) if length.isdecimal() else None


def _check_length(url: str, total: int | None, errand: Errand) -> None:
    if total is not None and errand.pin.bytes is not None and total != errand.pin.bytes:
        _forget(errand.part)
        raise IntegrityError(
            f"{url} has {total} bytes, but {errand.pin.bytes} are recorded for {errand.file.path}: it was changed, or "
            f"this is not the file; {errand.by_hand()}"
        )


def _chunks(answer: httpx2.Response, first: bool, errand: Errand) -> Iterator[bytes]:
    """The body as it comes, as long as it comes fast enough and is no web page."""
    patience = errand.patience
    since, count = time.monotonic(), 0
    for chunk in answer.iter_raw():
        if first and chunk and _is_page(answer, chunk, errand):
            _forget(errand.part)
            raise OriginError(
                f"{answer.url} answers with a web page instead of {errand.file.path} (a login, a consent form or a file "
                f"that moved); {errand.by_hand()}"
            )
        first, count = first and not chunk, count + len(chunk)
        yield chunk
        if time.monotonic() - since > patience.stall:
            if count < patience.least_bytes:
                raise Hitch(f"only {count} bytes came in {patience.stall:.0f} s")
            since, count = time.monotonic(), 0


def _is_page(answer: httpx2.Response, start: bytes, errand: Errand) -> bool:
    if errand.file.path.lower().endswith((".html", ".htm")):
        return False
    stated = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return stated in _PAGE_TYPES or start.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_PAGE_STARTS)


def _check_status(answer: httpx2.Response, errand: Errand) -> None:
    """Raise Hitch for what may pass, OriginError for what will not."""
    code, said = answer.status_code, f"{answer.url} says {answer.status_code} {answer.reason_phrase}".rstrip()
    if code in _PASSING:
        raise Hitch(f"the server says {code} {answer.reason_phrase}".rstrip(), _retry_after(answer))
    if code in (401, 403):
        raise OriginError(f"{said}: access to {errand.file.path} is restricted; {errand.access()}; {errand.by_hand()}")
    if code in (404, 410):
        raise OriginError(f"{said}: {errand.file.path} is no longer there; {errand.by_hand()}")
    if code not in (200, 206):
        raise OriginError(f"{said}; {errand.by_hand()}")


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


def _validator(answer: httpx2.Response) -> str | None:
    """What proves that a later answer is of the same file: a strong ETag, else the time of its last change."""
    etag = answer.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    changed = answer.headers.get("last-modified")
    return str(changed) if changed else None


@contextmanager
def _hitches(errand: Errand) -> Iterator[None]:
    """Tell what may pass from what will not."""
    import httpx2

    try:
        yield
    except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
        raise OriginError(f"{errand.file.path}: its address leads nowhere ({error}); {errand.by_hand()}") from error
    except httpx2.ConnectTimeout as error:
        raise Hitch("the server cannot be reached") from error
    except httpx2.TimeoutException as error:
        raise Hitch(f"nothing came for {errand.patience.stall:.0f} s") from error
    except httpx2.TransportError as error:
        raise Hitch(f"the connection broke ({str(error) or type(error).__name__})") from error


def _client(errand: Errand) -> httpx2.Client:
    import httpx2

    # Not compressed on the way: hashes and ranges are those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"harness/{harness.__version__}"}
    timeout = httpx2.Timeout(errand.patience.stall, connect=errand.patience.connect)
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

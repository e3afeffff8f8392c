"""Downloads from a server that misbehaves in every way that servers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest

from harness.data.fetch import fetch
from harness.data.origins import http
from harness.data.origins.base import OriginError
from harness.storage import IntegrityError
from tests.data.server import FileServer, cut, endless, other, page, slow, stalled, status, wait_until
from tests.data.sources import HASTY, Listener, dataset, hastily, tree, url_file

DATA = bytes(range(256)) * 2000  # 512 kB


def parts(cache: Path) -> list[Path]:
    return list((cache / "data" / "incoming").glob("*.part"))


def test_a_file_arrives_and_is_asked_for_once(cache: Path, server: FileServer) -> None:
    progress = Listener()
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA), DATA))
    folder = fetch(manifest, hastily(progress))
    assert tree(folder) == {"a.bin": DATA}
    assert progress.begun == [("a.bin", len(DATA), 0)]
    assert progress.bytes == len(DATA)
    assert progress.said == []
    fetch(manifest, hastily())
    assert len(server.gets("/a.bin")) == 1
    assert server.gets("/a.bin")[0].headers["accept-encoding"] == "identity"
    assert tree(cache / "data" / "incoming") == {}


def test_a_broken_connection_goes_on_where_it_broke(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), cut(150_000))
    progress = Listener()
    folder = fetch(dataset(cache, url_file(url, DATA)), hastily(progress))
    assert tree(folder) == {"a.bin": DATA}
    assert [request.range for request in server.gets("/a.bin")] == [None, "bytes=100000-", "bytes=250000-"]
    assert [request.headers.get("if-range") for request in server.gets("/a.bin")] == [None, '"one"', '"one"']
    assert progress.bytes == len(DATA), "no byte was fetched twice"


def test_attempts_that_bring_something_do_not_count(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, *[cut(50_000)] * 8)
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


def test_a_connection_that_never_holds_ends_with_a_sentence(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(50_000), *[cut(0)] * 9)
    manifest = dataset(cache, url_file(url, DATA))
    with pytest.raises(
        OriginError, match=r"3 times in a row; check the network and run this again \(it goes on"
    ) as raised:
        fetch(manifest, hastily())
    assert "\n" not in str(raised.value)
    assert len(server.gets("/a.bin")) == 1 + 3 - 1, "the first brought something; it counts as the first fruitless one"
    server.resources["/a.bin"].acts.clear()
    fetch(manifest, hastily())
    assert server.gets("/a.bin")[-1].range == "bytes=50000-", "what came is kept"


def test_a_server_without_ranges_starts_over(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), ranges=False)
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


def test_a_file_that_changed_between_part_and_rest_starts_over(cache: Path, server: FileServer) -> None:
    new = bytes(reversed(DATA))
    url = server.put("/a.bin", DATA, cut(100_000))
    progress = Listener()

    def change(sentence: str) -> None:
        server.put("/a.bin", new, etag='"two"')

    progress.say = change  # type: ignore[method-assign]
    folder = fetch(dataset(cache, url_file(url)), hastily(progress))
    assert tree(folder) == {"a.bin": new}


def test_a_server_that_heeds_range_but_not_if_range_is_not_believed(cache: Path, server: FileServer) -> None:
    """It would give the end of the new file to the beginning of the old one."""
    new = bytes(reversed(DATA))
    url = server.put("/a.bin", DATA, cut(100_000))

    def careless(handler: object, resource: object) -> None:
        told = {"Content-Range": f"bytes 100000-{len(new) - 1}/{len(new)}"}
        handler.answer(206, new[100_000:], resource, told)  # type: ignore[attr-defined]

    def change(sentence: str) -> None:
        if server.resources["/a.bin"].data == DATA:
            server.put("/a.bin", new, careless, etag='"two"')

    progress = Listener()
    progress.say = change  # type: ignore[method-assign]
    assert tree(fetch(dataset(cache, url_file(url)), hastily(progress))) == {"a.bin": new}
    assert [request.range for request in server.gets("/a.bin")] == [None, "bytes=100000-", None]


def test_without_any_proof_of_sameness_an_unlocked_file_starts_over(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), etag=None)
    assert tree(fetch(dataset(cache, url_file(url)), hastily())) == {"a.bin": DATA}
    assert [request.range for request in server.gets("/a.bin")] == [None, None]


def test_a_weak_etag_proves_nothing(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), etag='W/"one"')
    fetch(dataset(cache, url_file(url)), hastily())
    assert [request.range for request in server.gets("/a.bin")] == [None, None]


def test_a_locked_file_goes_on_without_proof_because_its_hash_is_known(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), etag=None)
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}
    assert [request.range for request in server.gets("/a.bin")] == [None, "bytes=100000-"]


def test_another_length_than_recorded_is_refused_before_it_is_fetched(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA + b"more")
    progress = Listener()
    with pytest.raises(IntegrityError, match=f"has {len(DATA) + 4} bytes, but {len(DATA)} are recorded for a.bin"):
        fetch(dataset(cache, url_file(url, DATA)), hastily(progress))
    assert progress.bytes == 0
    assert len(server.gets("/a.bin")) == 2, "one retry"


def test_bytes_without_end_are_not_all_taken(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, endless(DATA * 40), endless(DATA * 40))
    progress = Listener()
    with pytest.raises(IntegrityError, match=f"expected {len(DATA)}"):
        fetch(dataset(cache, url_file(url, DATA)), hastily(progress))
    assert progress.bytes < 20 * len(DATA)


def test_too_few_bytes_of_a_server_that_names_no_length(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, endless(DATA[:1000]))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


@pytest.mark.parametrize(
    "act", [page(), page(type="application/octet-stream"), page(b"\n <HTML><body>", "text/plain"), page(b"x")]
)
def test_a_web_page_in_place_of_the_file_is_recognised(cache: Path, server: FileServer, act: object) -> None:
    url = server.put("/weights.ckpt", DATA, act, act)  # type: ignore[arg-type]
    with pytest.raises(
        OriginError, match=r"answers with a web page instead of weights\.ckpt .*get weights\.ckpt by hand"
    ):
        fetch(dataset(cache, url_file(url)), hastily())
    assert parts(cache) == []


def test_a_web_page_that_is_wanted_is_taken(cache: Path, server: FileServer) -> None:
    text = b"<!doctype html><p>card"
    url = server.put("/card.html", text, type="text/html")
    assert tree(fetch(dataset(cache, url_file(url, text)), hastily())) == {"card.html": text}


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (401, r"says 401 .*access to a\.bin is restricted; sign the form \(see https://example\.org/toy\)"),
        (403, r"says 403 .*access to a\.bin is restricted; sign the form"),
        (404, r"says 404 .*a\.bin is no longer there; get a\.bin by hand from https://example\.org/toy"),
        (410, "says 410 "),
        (418, "says 418 "),
    ],
)
def test_a_refusal_is_not_tried_again(cache: Path, server: FileServer, code: int, sentence: str) -> None:
    url = server.put("/a.bin", DATA, status(code))
    with pytest.raises(OriginError, match=sentence):
        fetch(dataset(cache, url_file(url, DATA), terms="sign the form."), hastily())
    assert len(server.gets("/a.bin")) == 1


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_trouble_of_the_server_is_waited_for(cache: Path, server: FileServer, code: int) -> None:
    url = server.put("/a.bin", DATA, status(code), status(code))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


def test_trouble_that_lasts_is_told(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, *[status(503)] * 9)
    progress = Listener()
    with pytest.raises(OriginError, match="the server says 503 Service Unavailable, 3 times in a row"):
        fetch(dataset(cache, url_file(url, DATA)), hastily(progress))
    assert len(server.gets("/a.bin")) == 3
    assert len(progress.said) == 2


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited, which take no time."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def test_retry_after_in_seconds_is_honoured(cache: Path, server: FileServer, waits: list[float]) -> None:
    url = server.put("/a.bin", DATA, status(429, **{"Retry-After": "7"}))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}
    assert waits == [7.0]


def test_retry_after_as_a_date_is_honoured(cache: Path, server: FileServer, waits: list[float]) -> None:
    then = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    url = server.put("/a.bin", DATA, status(503, **{"Retry-After": then}))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}
    (wait,) = waits
    assert HASTY.first_wait < wait <= 90


def test_a_wait_that_is_too_long_is_left_to_the_user(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, status(429, **{"Retry-After": "7200"}))
    with pytest.raises(OriginError, match="asks to wait 7200 s; run this again then"):
        fetch(dataset(cache, url_file(url, DATA)), hastily())


def test_a_nonsensical_wait_is_passed_over(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, status(503, **{"Retry-After": "soon"}))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


STRICT = replace(HASTY, stall=0.4)


def test_a_stalled_connection_is_made_anew(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, stalled(100_000, 1000))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily(retry=STRICT))) == {"a.bin": DATA}
    assert len(server.gets("/a.bin")) > 1
    assert server.gets("/a.bin")[-1].range is not None, "what had come is not fetched again"


def test_a_trickle_counts_as_stalled(cache: Path, server: FileServer) -> None:
    """Each byte comes in time, so that no single read ever waits too long."""
    url = server.put("/a.bin", DATA, slow(1, 0.05))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily(retry=STRICT))) == {"a.bin": DATA}
    assert len(server.gets("/a.bin")) > 1


def test_a_slow_connection_is_borne_with(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, slow(16_000, 0.1))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily(retry=replace(HASTY, stall=2.0)))) == {"a.bin": DATA}
    assert len(server.gets("/a.bin")) == 1


def test_a_server_that_is_not_there(cache: Path) -> None:
    with pytest.raises(OriginError, match=r"the connection broke .*, 3 times in a row"):
        fetch(dataset(cache, url_file("http://127.0.0.1:9/a.bin", DATA)), hastily())


def test_an_address_that_leads_round_in_circles(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, *[status(302, Location="/a.bin")] * 50)
    with pytest.raises(OriginError, match="its address leads nowhere"):
        fetch(dataset(cache, url_file(url, DATA)), hastily())


def test_a_redirection_is_followed(cache: Path, server: FileServer) -> None:
    server.put("/real.bin", DATA)
    url = server.put("/a.bin", b"", status(302, Location="/real.bin"))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


@pytest.mark.parametrize("pinned", [True, False])
def test_an_unlocked_file_is_not_taken_from_an_unencrypted_place(
    cache: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """Nobody could tell whether it was changed on the way; of a locked one the hash tells."""
    import httpx2

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme == "https":
            return httpx2.Response(302, headers={"Location": "http://mirror.example/a.bin"})
        return httpx2.Response(200, content=iter([DATA]))

    client = httpx2.Client(transport=httpx2.MockTransport(answer), follow_redirects=True)
    monkeypatch.setattr(http, "open_client", lambda request: nullcontext(client))
    manifest = dataset(cache, url_file("https://example.org/a.bin", DATA if pinned else None))
    if pinned:
        assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}
    else:
        with pytest.raises(OriginError, match=r"leads to http://mirror\.example/a\.bin, which is not encrypted"):
            fetch(manifest, hastily())


def test_what_came_is_read_again_only_by_another_process(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.put("/a.bin", DATA, cut(100_000), cut(150_000))
    monkeypatch.setattr(http.Digests, "of", lambda *_: pytest.fail("it was read again"))
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily())) == {"a.bin": DATA}


def test_offline_nothing_is_asked(cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    url = server.put("/a.bin", DATA)
    with pytest.raises(OriginError, match=r"a\.bin is not here and HF_HUB_OFFLINE is set"):
        fetch(dataset(cache, url_file(url)), hastily())
    assert server.requests == []


def test_a_part_that_is_longer_than_the_file_is_forgotten(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, cut(400_000), etag='"same"')
    progress = Listener()
    progress.say = lambda _: server.put("/a.bin", DATA[:1000], etag='"same"')  # type: ignore[method-assign, assignment, return-value]
    assert tree(fetch(dataset(cache, url_file(url)), hastily(progress))) == {"a.bin": DATA[:1000]}


def test_changed_content_is_put_aside_and_asked_for_once_more(cache: Path, server: FileServer) -> None:
    bad = bytes(len(DATA))
    url = server.put("/a.bin", DATA, other(bad))
    progress = Listener()
    assert tree(fetch(dataset(cache, url_file(url, DATA)), hastily(progress))) == {"a.bin": DATA}
    assert "Fetching it once more" in progress.said[0]
    assert list(tree(cache / "data" / "quarantine").values()) == [bad]


def test_content_that_stays_changed_is_an_error_that_says_all(cache: Path, server: FileServer) -> None:
    bad = bytes(len(DATA))
    url = server.put("/a.bin", bad)
    manifest = dataset(cache, url_file(url, DATA))
    with pytest.raises(
        IntegrityError, match=r"its sha256 is [0-9a-f]{12}…, expected [0-9a-f]{12}…; what came is kept at"
    ):
        fetch(manifest, hastily())
    assert len(server.gets("/a.bin")) == 2
    assert list(tree(cache / "data" / "quarantine").values()) == [bad]
    assert tree(cache / "data" / "objects") == {}
    assert tree(cache / "data" / "sets") == {}


CHILD = """
import sys
from pathlib import Path
from harness.data.fetch import fetch
from tests.data.sources import dataset, hastily, url_file
pinned = {"sha256": sys.argv[3]} if sys.argv[3] else {}
fetch(dataset(Path(sys.argv[2]), url_file(sys.argv[1], **pinned)), hastily())
"""


def child(cache: Path, url: str, sha: str = "") -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", CHILD, url, str(cache), sha]
    return subprocess.Popen(command, cwd=root, env={**os.environ, "HARNESS_CACHE": str(cache)}, stderr=subprocess.PIPE)


def test_a_killed_process_leaves_what_the_next_one_goes_on_from(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, stalled(150_000, 1000))
    killed = child(cache, url)
    wait_until(lambda: any(part.stat().st_size > 100_000 for part in parts(cache)))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.stderr is not None
    killed.stderr.close()
    collected = parts(cache)[0].stat().st_size
    assert 0 < collected < len(DATA)
    assert tree(cache / "data" / "sets") == {}, "nothing of it can be seen"
    folder = fetch(dataset(cache, url_file(url)), hastily())
    assert tree(folder) == {"a.bin": DATA}
    assert server.gets("/a.bin")[1].range == f"bytes={collected}-"


def test_two_processes_fetch_a_file_once(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA, slow(64_000, 0.1))
    both = [child(cache, url), child(cache, url)]
    for each in both:
        _, said = each.communicate(timeout=240)
        assert each.returncode == 0, said.decode()
    assert len(server.gets("/a.bin")) == 1
    assert tree(fetch(dataset(cache, url_file(url)), hastily())) == {"a.bin": DATA}

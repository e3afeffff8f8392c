"""What comes in place of a file, a table or an archive: a sentence each that says what to do."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.fetch import fetch
from harness.data.origins.base import OriginError
from harness.data.readers.opening import open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.server import FileServer, Handler, Resource, cut, endless, page, status
from tests.data.sources import Listener, dataset, hastily, sha256, tree, url_file

BY_HAND = r"; get .* by hand from https://example\.org/toy, then run: harness data fetch "


def told(error: BaseException) -> str:
    """What the user reads: one line."""
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("unpack", [None, "zip", "gzip"])
def test_an_empty_file_is_refused_although_nothing_is_recorded_of_it(
    cache: Path, server: FileServer, unpack: str | None
) -> None:
    with pytest.raises(IntegrityError, match=f"it is empty; what came is kept at .*{BY_HAND}"):
        fetch(dataset(cache, url_file(server.put("/a.gz", b""), unpack=unpack)), hastily())


def test_an_empty_file_of_ones_own_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"a\.npz is not the a\.npz that was recorded for toy: it is empty"):
        fetch(dataset(cache, url_file("http://127.0.0.1:9/a.npz")), hastily(source=tmp_path))


def test_a_file_that_is_recorded_as_empty_is_taken(cache: Path, server: FileServer) -> None:
    assert tree(fetch(dataset(cache, url_file(server.put("/a.txt", b""), b"")), hastily())) == {"a.txt": b""}


PAGES = {
    "plain": b"<!DOCTYPE html><title>Log in</title>",
    "after an XML line": b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">',
    "after a comment": b"<!-- saved from url=(0014)about:internet -->\n<html>",
    "of two bytes a sign": "\ufeff<html>".encode("utf-16-le"),
    "without html": b'<head><meta http-equiv="refresh" content="0;url=/login">',
    "of a proxy": b"\xef\xbb\xbf  <BODY>Blocked by your administrator",
}


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES)
def test_a_page_is_recognised_whatever_type_it_is_said_to_be(cache: Path, server: FileServer, body: bytes) -> None:
    url = server.put("/a.npz", b"x", page(body, "application/octet-stream"))
    with pytest.raises(OriginError, match=f"answers with a web page instead of a.npz .*{BY_HAND}"):
        fetch(dataset(cache, url_file(url)), hastily())


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES)
def test_a_page_that_a_browser_saved_is_recognised(cache: Path, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(
        IntegrityError, match=r"a\.zip is a web page that was saved in place of a\.zip; open it to see why"
    ):
        fetch(dataset(cache, url_file("http://127.0.0.1:9/a.zip", unpack="zip")), hastily(source=tmp_path))


def test_an_error_of_an_interface_in_place_of_the_file(cache: Path, server: FileServer) -> None:
    message = b'{"status": 403,\n "message": "The record is restricted"}'
    url = server.put("/a.npz", b"x", page(message, "application/json"))
    with pytest.raises(
        OriginError, match=f"answers with .*The record is restricted.* instead of a.npz{BY_HAND}"
    ) as raised:
        fetch(dataset(cache, url_file(url)), hastily())
    told(raised.value)


def test_json_that_is_wanted_is_taken(cache: Path, server: FileServer) -> None:
    url = server.put("/a.json", b'{"a": 1}', type="application/json")
    assert tree(fetch(dataset(cache, url_file(url)), hastily())) == {"a.json": b'{"a": 1}'}
    url = server.put(
        "/b.bin", b"{exact", type="application/json"
    )  # what a digest proves is right whatever it is called
    assert tree(fetch(dataset(cache, url_file(url, b"{exact")), hastily())) == {"b.bin": b"{exact"}


def test_a_login_page_behind_a_redirection(cache: Path, server: FileServer) -> None:
    server.put("/login", b"<!DOCTYPE html>", type="text/html")
    url = server.put("/a.npz", b"x", status(302, Location=f"{server.address}/login"))
    with pytest.raises(OriginError, match=f"/login answers with a web page instead of a.npz .*{BY_HAND}"):
        fetch(dataset(cache, url_file(url)), hastily())


def test_an_answer_without_content(cache: Path, server: FileServer) -> None:
    url = server.put("/a.npz", b"x", status(204, b""))
    with pytest.raises(OriginError, match=f"says 204 No Content{BY_HAND}"):
        fetch(dataset(cache, url_file(url)), hastily())


GZIPPED = gzip.compress(os.urandom(5000))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a,b\n1,2\n", "Not a gzipped file"),
        (GZIPPED[:3000], "ended before the end-of-stream marker"),
        (GZIPPED[:-8] + b"\0" * 8, "CRC check failed"),
    ],
    ids=["plain", "cut", "wrong checksum"],
)
def test_what_is_no_whole_gzip_file(cache: Path, server: FileServer, data: bytes, sentence: str) -> None:
    url = server.put("/a.csv.gz", data)
    with pytest.raises(IntegrityError, match=rf"a\.csv\.gz is damaged, .*{sentence}.*; get it again\. It is kept at"):
        fetch(dataset(cache, url_file(url, unpack="gzip")), hastily())


def test_a_download_that_broke_off_goes_on_in_the_next_call(cache: Path, server: FileServer) -> None:
    data = os.urandom(100_000)
    url = server.put("/a.npz", data, cut(20_000), cut(0), cut(0))
    with pytest.raises(
        OriginError, match=r"3 times in a row; check the network and run this again \(it goes on from where"
    ):
        fetch(dataset(cache, url_file(url)), hastily())
    asked = len(server.gets("/a.npz"))
    assert tree(fetch(dataset(cache, url_file(url)), hastily())) == {"a.npz": data}
    assert [request.range for request in server.gets("/a.npz")[asked:]] == ["bytes=20000-"]


def test_a_folder_or_a_broken_link_in_place_of_a_file(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "own/a.npz").mkdir(parents=True)
    (tmp_path / "own/b.npz").symlink_to(tmp_path / "gone")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(UsageError, match=f"own does not hold {name}, which toy needs"):
            fetch(dataset(cache, url_file(f"http://127.0.0.1:9/{name}")), hastily(source=tmp_path / "own"))


# What is in a file that came whole


def opened(cache: Path, server: FileServer, name: str, data: bytes, reader: dict[str, Any]) -> Any:
    parts = {"all": {}}
    manifest = dataset(cache, url_file(server.put(f"/{name}", data)), reader=reader, parts=parts)
    return open_part(manifest, "all", fetch(manifest, hastily()))


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


IMAGES, LABELS = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 1), np.uint8)
WHOLE = npz(
    **{
        f"{split}_{what}": each
        for split in ("train", "val", "test")
        for what, each in (("images", IMAGES), ("labels", LABELS))
    }
)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            npz(train_images=IMAGES, train_labels=LABELS),
            "it must hold one array val_images, it holds train_images, train_labels",
        ),
        (WHOLE[: len(WHOLE) // 2], "is not a valid file of arrays"),
        (b"\x93NUMPY\x01\x00", "is not a valid file of arrays"),
        (b"PK\x03\x04 and then nothing", "is not a valid file of arrays"),
    ],
    ids=["without arrays", "cut", "one array", "head of a zip"],
)
def test_what_is_no_whole_file_of_medmnist(cache: Path, server: FileServer, data: bytes, sentence: str) -> None:
    with pytest.raises(IntegrityError, match=f"{sentence}.*; this is no whole file of MedMNIST, get it again"):
        opened(cache, server, "m.npz", data, {"kind": "medmnist", "file": "m.npz"})


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"name;y\na;0\n", "divides its columns by ';'; save it with commas"),
        (b"name\ty\na\t0\n", r"divides its columns by '\\t'; save it with commas"),
        (b"name|y\na|0\n", r"divides its columns by '\|'; save it with commas"),
        ("name,y\nü,0\n".encode("latin-1"), "save it as UTF-8 text"),
        ("name,y\na,0\n".encode("utf-16"), "save it as UTF-8 text"),
        (b"\n", "no readable CSV table"),
        (b"name,y\na,0\nb,1,2,3\n", "Expected 2 fields in line 3, saw 4"),
        (b"name,y\na,0\nb\n", r"row 1 \(counted from 0\) has no label"),
        (b"\0\0\0\0", "it is not a text; get it again"),
    ],
)
def test_what_is_no_table_with_commas(cache: Path, server: FileServer, data: bytes, sentence: str) -> None:
    table = {"file": "t.csv", "path": "{name}.png", "label": "y"}
    with pytest.raises(IntegrityError, match=sentence) as raised:
        opened(cache, server, "t.csv", data, {"kind": "image-tables", "classes": 2, "tables": [table]})
    told(raised.value)


def test_a_table_that_a_spreadsheet_saved_is_read(cache: Path, server: FileServer) -> None:
    table = {"file": "t.csv", "path": "{name}.png", "label": "y"}
    reader = {"kind": "image-tables", "classes": 2, "tables": [table]}
    samples = opened(cache, server, "t.csv", "\ufeffname,y\r\na,0\r\nb,1\r\n".encode(), reader)
    assert list(samples.ids) == ["a.png", "b.png"]


# How much comes


def test_a_size_far_from_what_is_expected_is_refused_before_it_comes(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", b"x", status(200, b"", **{"Content-Length": str(10**12)}))
    with pytest.raises(
        OriginError,
        match=r"a\.bin of toy has 1000000000000 bytes, but about 40000000 bytes are expected: .*--max-bytes N, or get",
    ):
        fetch(dataset(cache, url_file(url, about_bytes=40_000_000)), hastily())
    assert not list((cache / "data/incoming").glob("*.part"))


def chunked(pieces: int, piece: bytes) -> Any:
    """Send bytes piece by piece, without a length; stop when the client hangs up."""

    def act(handler: Handler, resource: Resource) -> None:
        handler.send_response(200)
        handler.head_lines(resource, {"Connection": "close"})
        handler.close_connection = True
        for _ in range(pieces):
            handler.wfile.write(piece)
            sent.append(len(piece))

    sent: list[int] = []
    act.sent = sent  # type: ignore[attr-defined]
    return act


def test_bytes_without_a_length_end_at_twice_what_is_expected(cache: Path, server: FileServer) -> None:
    act = chunked(1000, b"x" * (1 << 20))
    url = server.put("/a.bin", b"x", act)
    with pytest.raises(OriginError, match=r"has more than 80000000 bytes, but about 40000000 bytes are expected"):
        fetch(dataset(cache, url_file(url, about_bytes=40_000_000)), hastily())
    assert not list((cache / "data/incoming").glob("*.part"))
    assert sum(act.sent) < 300_000_000


def test_bytes_without_a_length_end_where_the_user_says(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", b"x", endless(b"x" * 5000), endless(b"x" * 5000))
    with pytest.raises(OriginError, match=r"has more than 4000 bytes, but nobody has recorded its size.*--max-bytes N"):
        fetch(dataset(cache, url_file(url)), hastily(max_bytes=4000))
    assert tree(fetch(dataset(cache, url_file(url)), hastily(max_bytes=5000))) == {"a.bin": b"x" * 5000}


def test_bytes_of_which_nobody_knows_how_many_are_bounded(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.origins.base.UNSIZED", 10_000)
    url = server.put("/a.bin", b"x", endless(b"x" * 20_000))
    with pytest.raises(OriginError, match=r"has more than 10000 bytes, but nobody has recorded its size"):
        fetch(dataset(cache, url_file(url)), hastily())


def test_a_length_that_is_announced_counts_where_nothing_is_expected(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.origins.base.UNSIZED", 10)
    url = server.put("/a.bin", b"x" * 1000)
    assert tree(fetch(dataset(cache, url_file(url)), hastily())) == {"a.bin": b"x" * 1000}


def test_the_users_bound_holds_for_announced_lengths_too(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", b"x" * 1000)
    with pytest.raises(OriginError, match="has 1000 bytes"):
        fetch(dataset(cache, url_file(url)), hastily(max_bytes=999))
    assert len(server.gets("/a.bin")) == 1


def test_a_recorded_size_goes_before_the_users_bound(cache: Path, server: FileServer) -> None:
    data = b"x" * 1000
    url = server.put("/a.bin", data)
    assert tree(fetch(dataset(cache, url_file(url, data)), hastily(max_bytes=10))) == {"a.bin": data}


def test_parts_of_an_archive_are_bounded_too(cache: Path, server: FileServer) -> None:
    from tests.data.test_members import ARCHIVE, members_of

    manifest = dataset(cache, members_of(server.put("/big.zip", ARCHIVE), "train.bin"))
    with pytest.raises(OriginError, match="takes more than 200000 bytes to be read"):
        fetch(manifest, hastily(max_bytes=200_000))
    assert fetch(manifest, hastily(max_bytes=10_000_000))


def test_an_empty_or_wrong_mirror_is_passed_over(cache: Path, server: FileServer) -> None:
    data, listener = b"right" * 100, Listener()
    bad = [server.put(f"/{n}.bin", b"x", page(), page()) for n in range(2)] + [server.put("/2.bin", b"")]
    good = {"kind": "url", "url": server.put("/3.bin", data)}
    mirrors = [*({"kind": "url", "url": url} for url in bad[1:]), good]
    assert sha256(data) == sha256(
        (
            fetch(dataset(cache, {**url_file(bad[0], data), "mirrors": mirrors}), hastily(listener)) / "0.bin"
        ).read_bytes()
    )
    assert sum("trying a mirror" in said for said in listener.said) == 3

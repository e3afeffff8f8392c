"""Zenodo records in both styles in which its API answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data.fetch import fetch
from harness.data.origins.base import OriginError
from harness.storage import IntegrityError
from tests.data.server import FileServer, cut, status
from tests.data.sources import dataset, hastily, md5, sha256, tree

DATA = b"weights" * 10_000


@pytest.fixture
def zenodo(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    monkeypatch.setenv("HARNESS_ZENODO_URL", server.address + "/")
    return server


def file(name: str | None = "w 1.zip", **facts: Any) -> dict[str, Any]:
    origin = {"kind": "zenodo", "record": 7, **({"file": name} if name else {})}
    return {"path": "w.zip", "origin": origin, **facts}


def older(server: FileServer, checksum: str | None = None, *more: str) -> None:
    """`files[].key`, `links.self`, `md5:...`."""
    link = server.put("/api/files/b/w%201.zip", DATA)
    files = [{"key": "w 1.zip", "size": len(DATA), "checksum": checksum or f"md5:{md5(DATA)}", "links": {"self": link}}]
    files += [{"key": name, "size": 1, "checksum": "md5:0", "links": {"self": "x"}} for name in more]
    server.put("/api/records/7", json.dumps({"id": 7, "files": files}).encode(), type="application/json")


def newer(server: FileServer, checksum: str | None = None) -> None:
    """`filename`, a bare md5, and no links that could be followed."""
    files = [{"filename": "w 1.zip", "filesize": len(DATA), "checksum": checksum or md5(DATA), "links": {"self": "x"}}]
    server.put("/api/records/7", json.dumps({"id": 7, "files": files}).encode(), type="application/json")
    server.put("/records/7/files/w%201.zip?download=1", DATA)


@pytest.mark.parametrize("style", [older, newer])
def test_both_styles_of_answers(cache: Path, zenodo: FileServer, style: Any) -> None:
    style(zenodo)
    for name in ("w 1.zip", None):
        assert tree(fetch(dataset(cache, file(name)), hastily())) == {"w.zip": DATA}


@pytest.mark.parametrize("style", [older, newer])
def test_the_md5_of_the_record_is_checked(cache: Path, zenodo: FileServer, style: Any) -> None:
    style(zenodo, "0" * 32)
    with pytest.raises(IntegrityError, match=f"its md5 is {md5(DATA)}, expected {'0' * 32}"):
        fetch(dataset(cache, file()), hastily())


def test_the_md5_of_the_manifest_is_checked(cache: Path, zenodo: FileServer) -> None:
    older(zenodo)
    with pytest.raises(IntegrityError, match=f"expected {'1' * 32}"):
        fetch(dataset(cache, file(md5="1" * 32)), hastily())


def test_a_record_that_agrees_with_itself_must_still_be_the_recorded_one(cache: Path, zenodo: FileServer) -> None:
    older(zenodo)
    with pytest.raises(IntegrityError, match="its sha256 is"):
        fetch(dataset(cache, file(sha256=sha256(b"what it once was"))), hastily())


def test_an_interrupted_download_goes_on(cache: Path, zenodo: FileServer) -> None:
    older(zenodo)
    zenodo.resources["/api/files/b/w%201.zip"].acts.append(cut(20_000))
    fetch(dataset(cache, file()), hastily())
    assert [request.range for request in zenodo.gets("/api/files/b/w%201.zip")] == [None, "bytes=20000-"]


def test_a_busy_api_is_waited_for(cache: Path, zenodo: FileServer) -> None:
    older(zenodo)
    zenodo.resources["/api/records/7"].acts += [status(429), status(502)]
    assert tree(fetch(dataset(cache, file()), hastily())) == {"w.zip": DATA}


def test_a_file_that_the_record_has_not(cache: Path, zenodo: FileServer) -> None:
    older(zenodo)
    with pytest.raises(OriginError, match=r"holds w 1\.zip, from which other\.zip"):
        fetch(dataset(cache, file("other.zip")), hastily())


def test_one_of_several_must_be_named(cache: Path, zenodo: FileServer) -> None:
    older(zenodo, None, "README.md")
    with pytest.raises(OriginError, match=r"holds README\.md, w 1\.zip, from which one must be named for w\.zip"):
        fetch(dataset(cache, file(None)), hastily())


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"files": null}', b'{"files": []}'])
def test_a_record_without_files(cache: Path, zenodo: FileServer, answer: bytes) -> None:
    zenodo.put("/api/records/7", answer, type="application/json")
    with pytest.raises(OriginError, match=r"records/7 (lists no files|holds no files)"):
        fetch(dataset(cache, file()), hastily())


def test_a_record_that_is_gone_and_one_that_is_a_web_page(cache: Path, zenodo: FileServer) -> None:
    with pytest.raises(OriginError, match="says 404"):
        fetch(dataset(cache, file()), hastily())
    zenodo.put("/api/records/7", b"<html>", type="text/html")
    with pytest.raises(OriginError, match="does not answer with JSON"):
        fetch(dataset(cache, file()), hastily())

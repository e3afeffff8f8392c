"""Single members of a zip that lies elsewhere: fetched by ranges of bytes, checked, recorded, and nothing else fetched."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.fetch import fetch
from harness.data.locking import lock_dataset
from harness.data.manifests import load_manifest
from harness.data.origins.base import OriginError
from harness.data.store import read_members, set_folder
from harness.data.upkeep import verify
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, content_id
from tests.data.server import FileServer, page, status
from tests.data.sources import Listener, dataset, hastily, md5, sha256, tree

RNG = np.random.default_rng(0)
MEMBERS = {
    "train.bin": RNG.bytes(3_000_000),
    "val.bin": RNG.bytes(200_000),
    "test.bin": b"test " * 1000,
    "other/train2.bin": RNG.bytes(500_000),
}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


ARCHIVE = zipped(MEMBERS)


def members_of(url: str, *patterns: str, **facts: Any) -> dict[str, Any]:
    origin = {"kind": "url", "url": url}
    return {"path": "some", "origin": origin, "unpack": "zip", "into": "in", "members": patterns, **facts}


def test_only_the_members_that_are_wanted_are_fetched(cache: Path, server: FileServer) -> None:
    url = server.put("/big.zip", ARCHIVE)
    manifest = dataset(cache, members_of(url, "val.bin", "test.*"))
    folder = fetch(manifest, hastily())
    assert tree(folder) == {"in/val.bin": MEMBERS["val.bin"], "in/test.bin": MEMBERS["test.bin"]}
    asked = [str(request.range).removeprefix("bytes=") for request in server.gets("/big.zip")]
    assert asked[0] == "-131072"
    spans = [tuple(map(int, each.split("-"))) for each in asked[1:]]
    packed = {info.filename: info for info in zipfile.ZipFile(io.BytesIO(ARCHIVE)).infolist()}
    first, after = packed["val.bin"].header_offset, packed["other/train2.bin"].header_offset
    assert spans == [(first, after - 1)], "members beside each other come together, and nothing else"
    assert not verify(manifest)
    assert fetch(manifest, hastily()) == folder
    assert len(server.gets("/big.zip")) == len(asked)


def test_members_in_folders_are_known_by_their_names_too(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, members_of(server.put("/big.zip", ARCHIVE), "train2.*"))
    assert list(tree(fetch(manifest, hastily()))) == ["in/other/train2.bin"]


def test_what_users_have_as_a_whole_archive_serves_too_and_its_md5_is_checked(cache: Path, tmp_path: Path) -> None:
    manifest = dataset(cache, members_of("http://127.0.0.1:9/big.zip", "test.bin", md5=md5(ARCHIVE)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/big.zip").write_bytes(ARCHIVE)
    folder = fetch(manifest, hastily(source=tmp_path / "mine"))
    assert list(tree(folder)) == ["in/test.bin"]
    assert not verify(manifest)
    (tmp_path / "mine/big.zip").unlink()
    assert not verify(manifest)  # its members were copied
    (tmp_path / "big.zip").write_bytes(zipped({"test.bin": b"another"}))
    with pytest.raises(IntegrityError, match="its md5 is"):
        fetch(
            dataset(cache, members_of("http://127.0.0.1:9/big.zip", "t*", md5=md5(ARCHIVE))), hastily(source=tmp_path)
        )


def test_digests_of_members_are_checked(cache: Path, server: FileServer) -> None:
    url = server.put("/big.zip", ARCHIVE)
    right = {"test.bin": sha256(MEMBERS["test.bin"])}
    manifest = dataset(cache, members_of(url, "test.bin", member_digests=right))
    fetch(manifest, hastily())
    assert manifest.locked_by == "sha256"
    assert manifest.pin(manifest.spec.files[0]).sha256 == content_id([["test.bin", right["test.bin"]]])
    wrong = dataset(cache, members_of(url, "t*t.bin", member_digests={"test.bin": "0" * 64}))
    assert wrong.locked_by is None  # which members the pattern fits is not recorded
    with pytest.raises(
        IntegrityError, match=r"test.bin in big.zip of toy is not the file that was recorded: its sha256"
    ):
        fetch(wrong, hastily())
    assert not (set_folder(wrong) / "in").exists()
    absent = dataset(cache, members_of(url, "*.bin", member_digests={"gone.bin": "0" * 64}))
    with pytest.raises(IntegrityError, match="recorded: it is not there"):
        fetch(absent, hastily())


def test_an_archive_without_a_member_is_another_one(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, members_of(server.put("/big.zip", ARCHIVE), "test.bin", "labels.npy"))
    with pytest.raises(IntegrityError, match=r"big.zip of toy has no member that fits 'labels.npy'"):
        fetch(manifest, hastily())


def test_members_are_locked_by_their_names_and_contents(cache: Path, server: FileServer, tmp_path: Path) -> None:
    manifest = dataset(tmp_path, members_of(server.put("/big.zip", ARCHIVE), "test*"))
    listener = Listener()
    fetch(manifest, hastily(listener))
    assert "nobody has recorded the sha256 of 1 of 1 files" in listener.said[-1]
    lock_dataset(manifest, hastily())
    (tmp_path / "source.toml").write_text(
        'id = "toy"\ntitle = "Toy"\nlicence = "none"\ncitation = ["me"]\n[[files]]\npath = "some"\nunpack = "zip"\n'
        f'into = "in"\nmembers = ["test*"]\norigin = {{ kind = "url", url = "{server.address}/big.zip" }}\n'
    )
    locked = load_manifest(tmp_path / "source.toml")
    assert locked.locked_by == "sha256"
    assert locked.key == manifest.key
    assert read_members(locked, locked.spec.files[0])["in/test.bin"].sha256 == sha256(MEMBERS["test.bin"])
    server.put("/big.zip", zipped({**MEMBERS, "test.bin": b"changed"}))
    (set_folder(locked) / "in/test.bin").chmod(0o644)
    (set_folder(locked) / "in/test.bin").unlink()
    assert verify(locked) == ("some: its member in/test.bin is gone",)
    with pytest.raises(
        IntegrityError, match=r"the members of big\.zip of toy are not those that were recorded for some"
    ):
        fetch(locked, hastily())


def test_a_server_that_gives_no_parts(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, members_of(server.put("/big.zip", ARCHIVE, ranges=False), "test.bin"))
    with pytest.raises(OriginError, match=r"gives no parts of files, only all of big.zip; get .* by hand"):
        fetch(manifest, hastily())


def test_a_login_page_in_place_of_a_part(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, members_of(server.put("/big.zip", ARCHIVE, page()), "test.bin"))
    with pytest.raises(OriginError, match="answers with a web page"):
        fetch(manifest, hastily())


def test_broken_connections_are_tried_again(cache: Path, server: FileServer) -> None:
    url = server.put("/big.zip", ARCHIVE, status(503), status(429, **{"Retry-After": "0"}))
    listener = Listener()
    folder = fetch(dataset(cache, members_of(url, "val.bin")), hastily(listener))
    assert tree(folder)["in/val.bin"] == MEMBERS["val.bin"]
    assert sum("trying again" in said for said in listener.said) == 2


def test_an_archive_that_changes_while_it_is_read(cache: Path, server: FileServer) -> None:
    def replaced(handler: Any, resource: Any) -> None:
        handler.serve(resource)
        resource.etag = '"two"'

    url = server.put("/big.zip", ARCHIVE, replaced)
    with pytest.raises(OriginError, match="was changed while it was read; run this again"):
        fetch(dataset(cache, members_of(url, "train.bin")), hastily())


def test_what_is_no_zip(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, members_of(server.put("/big.zip", b"no archive" * 100), "test.bin"))
    with pytest.raises(IntegrityError, match=r"big\.zip is damaged, or of another form"):
        fetch(manifest, hastily())


def test_a_flipped_bit_is_noticed_by_the_checksum_of_the_zip(cache: Path, server: FileServer) -> None:
    start = ARCHIVE.index(b"val.bin") + 1000
    damaged = ARCHIVE[:start] + bytes([ARCHIVE[start] ^ 1]) + ARCHIVE[start + 1 :]
    manifest = dataset(cache, members_of(server.put("/big.zip", damaged), "val.bin"))
    with pytest.raises(IntegrityError, match=r"big\.zip is damaged"):
        fetch(manifest, hastily())


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"unpack": "tar"}, "`members` belong to a zip"),
        ({"sha256": "0" * 64}, "no size or digest of the whole archive"),
        ({"bytes": 10}, "no size or digest of the whole archive"),
        ({"member_digests": {"other": "0" * 64}}, "no pattern of `members` fits other"),
        ({"members": [], "member_digests": {"other": "0" * 64}}, "`member_digests` belong to `members`"),
        ({"origin": {"kind": "own", "page": "https://example.org"}}, "`members` belong to a zip"),
    ],
)
def test_facts_that_do_not_go_together(cache: Path, facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dataset(cache, {**members_of("http://127.0.0.1:9/a.zip", "test.bin"), **facts})


def test_offline_is_offline(cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        fetch(dataset(cache, members_of(server.put("/big.zip", ARCHIVE), "test.bin")), hastily())
    assert not server.requests


def test_a_part_that_ends_early_is_asked_for_again(cache: Path, server: FileServer) -> None:
    def short(handler: Any, resource: Any) -> None:
        size = len(resource.data)
        handler.send_response(206)
        handler.head_lines(
            resource, {"Content-Range": f"bytes {size - 131072}-{size - 1}/{size}", "Connection": "close"}
        )
        handler.wfile.write(resource.data[-131072:-100])
        handler.close_connection = True

    listener = Listener()
    url = server.put("/big.zip", ARCHIVE, short)
    fetch(dataset(cache, members_of(url, "test.bin")), hastily(listener))
    assert any("130972 of 131072 bytes came" in said for said in listener.said)


def test_members_of_a_file_of_a_zenodo_record(cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_ZENODO_URL", server.address)
    link = server.put("/api/records/7/files/big.zip/content", ARCHIVE)
    files = [{"key": "big.zip", "size": len(ARCHIVE), "checksum": f"md5:{md5(ARCHIVE)}", "links": {"self": link}}]
    server.put("/api/records/7", json.dumps({"id": 7, "files": files}).encode(), type="application/json")
    origin = {"kind": "zenodo", "record": 7, "file": "big.zip"}
    folder = fetch(dataset(cache, {**members_of("http://x/y", "test.bin"), "origin": origin}), hastily())
    assert tree(folder) == {"in/test.bin": MEMBERS["test.bin"]}
    assert all(request.range for request in server.gets("/api/records/7/files/big.zip/content"))

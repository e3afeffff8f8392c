"""Fetching: files, archives, packages, what users have, and machines that are full, read-only or busy."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.data import archives, store
from harness.data import fetch as fetching
from harness.data.fetch import FetchOptions, fetch
from harness.data.origins.base import OriginError
from harness.data.store import dataset_folder
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, StorageError, UnsafeArtefactError
from tests.data.server import FileServer, cut
from tests.data.sources import Listener, dataset, hastily, md5, sha256, tree, url_file

DATA = bytes(range(256)) * 500


def zip_of(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return stream.getvalue()


def tar_of(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def own(path: str, data: bytes | None = None, **facts: Any) -> dict[str, Any]:
    pins = {"sha256": sha256(data), "bytes": len(data)} if data is not None else {}
    return {"path": path, "origin": {"kind": "own", "page": "https://example.org/ask"}, **pins, **facts}


# what lies where -----------------------------------------------------------------------------------


def test_a_file_is_kept_once_and_read_only(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA), DATA))
    folder = fetch(manifest, hastily())
    kept = cache / "data" / "objects" / sha256(DATA)[:2] / sha256(DATA)
    assert folder == cache / "data" / "sets" / manifest.key == dataset_folder(manifest)
    assert (folder / "a.bin").samefile(kept)
    assert kept.stat().st_mode & 0o777 == 0o444


def test_another_data_set_with_the_same_file_does_not_fetch_it_again(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    fetch(dataset(cache, url_file(url, DATA)), hastily())
    other = dataset(cache, {**url_file(url, DATA), "path": "deep/b.bin"}, id="other")
    assert tree(fetch(other, hastily())) == {"deep/b.bin": DATA}
    assert len(server.gets("/a.bin")) == 1


def test_a_damaged_object_is_not_shared(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    fetch(dataset(cache, url_file(url, DATA)), hastily())
    kept = store.object_path(sha256(DATA))
    kept.chmod(0o644)
    kept.write_bytes(b"damaged")
    other = dataset(cache, {**url_file(url, DATA), "path": "b.bin"}, id="other")
    assert tree(fetch(other, hastily())) == {"b.bin": DATA}


def test_where_hard_links_fail_symbolic_ones_serve(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA), DATA))
    assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}
    assert (dataset_folder(manifest) / "a.bin").is_symlink()


def test_what_is_missing_comes_with_the_command(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA)), url_file(server.put("/b.bin", DATA)))
    with pytest.raises(
        UsageError, match=r"toy is not here yet \(2 of 2 files: a\.bin, b\.bin\); run: harness data fetch"
    ):
        dataset_folder(manifest)
    fetch(manifest, hastily(pattern="b*"))
    assert dataset_folder(manifest, "b*") == store.set_folder(manifest)
    with pytest.raises(UsageError, match=r"--file 'a\*'$"):
        dataset_folder(manifest, "a*")
    assert [file.path for file in store.missing_files(manifest)] == ["a.bin"]
    fetch(manifest, hastily())
    assert set(tree(dataset_folder(manifest))) == {"a.bin", "b.bin"}
    assert len(server.gets("/b.bin")) == 1


def test_a_pattern_that_fits_nothing(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no file of toy fits 'x\*'; there are: a\.bin"):
        fetch(dataset(cache, url_file("http://127.0.0.1:9/a.bin")), hastily(pattern="x*"))


def test_what_is_here_already_stays_when_a_later_file_fails(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA)), url_file(f"{server.address}/none.bin"))
    with pytest.raises(OriginError, match="404"):
        fetch(manifest, hastily())
    server.put("/none.bin", b"late")
    fetch(manifest, hastily())
    assert len(server.gets("/a.bin")) == 1


def test_unlocked_files_come_with_a_warning(cache: Path, server: FileServer) -> None:
    progress = Listener()
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA)), url_file(server.put("/b.bin", DATA), DATA))
    fetch(manifest, hastily(progress))
    assert progress.said == [
        "toy: nobody has recorded the sha256 of 1 of 2 files; what rests on them cannot enter a ranked board"
    ]
    assert not manifest.locked


def test_a_lost_file_and_a_damaged_index_are_fetched_anew(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA), DATA))
    (fetch(manifest, hastily()) / "a.bin").unlink()
    assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}
    store.index_path(manifest.key).write_text("{")
    assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}


def test_what_was_fetched_before_it_was_recorded_counts_only_if_it_is_that(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    fetch(dataset(cache, url_file(url)), hastily())
    assert dataset_folder(dataset(cache, url_file(url, DATA)))
    with pytest.raises(UsageError, match="is not here yet"):
        dataset_folder(dataset(cache, url_file(url, b"other")))


# packages ------------------------------------------------------------------------------------------


def test_a_file_of_a_package(cache: Path) -> None:
    from harness.data.manifests import find_dataset

    manifest = find_dataset("mnist-5k")
    assert manifest.locked
    path = fetch(manifest, hastily()) / "mnist_5k.csv.gz"
    assert sha256(path.read_bytes()) == manifest.spec.files[0].sha256


@pytest.mark.parametrize(
    ("package", "file", "sentence"),
    [
        (
            "no_such_package_here",
            "x",
            "comes with the package no_such_package_here, which is not installed: pip install",
        ),
        ("json", "no.csv", r"the installed json has no no\.csv"),
    ],
)
def test_a_package_that_has_it_not(cache: Path, package: str, file: str, sentence: str) -> None:
    origin = {"kind": "package", "package": package, "file": file}
    with pytest.raises(OriginError, match=sentence):
        fetch(dataset(cache, {"path": "x", "origin": origin}), hastily())


# archives ------------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_and_not_kept(cache: Path, server: FileServer) -> None:
    data = zip_of(one=b"1", a__two=b"2")
    manifest = dataset(cache, url_file(server.put("/x.zip", data), data, unpack="zip", into="raw"))
    assert tree(fetch(manifest, hastily())) == {"raw/one": b"1", "raw/a/two": b"2"}
    assert tree(cache / "data" / "objects") == {}
    assert tree(cache / "data" / "incoming") == {}
    fetch(manifest, hastily())
    assert len(server.gets("/x.zip")) == 1


def test_archives_may_share_folders(cache: Path, server: FileServer) -> None:
    one, two = zip_of(images__1=b"1"), tar_of("images/2", b"2")
    manifest = dataset(
        cache,
        url_file(server.put("/one.zip", one), one, unpack="zip"),
        url_file(server.put("/two.tgz", two), two, unpack="tar"),
    )
    assert tree(fetch(manifest, hastily())) == {"images/1": b"1", "images/2": b"2"}


def test_archives_may_bring_the_same_file_but_not_different_ones(cache: Path, server: FileServer) -> None:
    one, two = zip_of(LICENSE=b"free", a=b"1"), zip_of(LICENSE=b"free", b=b"2")
    first, second = server.put("/one.zip", one), server.put("/two.zip", two)
    same = dataset(cache, url_file(first, one, unpack="zip"), url_file(second, two, unpack="zip"))
    assert set(tree(fetch(same, hastily()))) == {"LICENSE", "a", "b"}
    third = zip_of(LICENSE=b"not so free", c=b"3")
    other = dataset(
        cache,
        url_file(first, one, unpack="zip"),
        url_file(server.put("/x.zip", third), third, unpack="zip"),
        id="other",
    )
    with pytest.raises(UsageError, match=r"x\.zip and one\.zip of other both hold LICENSE; give one of them a folder"):
        fetch(other, hastily())
    assert tree(store.set_folder(other)) == {"LICENSE": b"free", "a": b"1"}
    beside = dataset(cache, url_file(second, two, unpack="zip"), {**url_file(first, one), "path": "b"}, id="third")
    with pytest.raises(UsageError, match=r"two\.zip and b of third both hold b"):
        fetch(beside, hastily())


@pytest.mark.parametrize("locked", [True, False])
def test_a_partial_unpacking_is_never_seen(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    data = zip_of(one=b"1", two=b"2", three=b"3")
    manifest = dataset(cache, url_file(server.put("/x.zip", data), data if locked else None, unpack="zip"))
    written: list[Path] = []
    growing = archives.growing

    def full(path: Path, **options: bool) -> Any:
        written.append(path)
        if len(written) == 2:
            raise StorageError("Could not write: No space left on device.")
        return growing(path, **options)

    monkeypatch.setattr(archives, "growing", full)
    with pytest.raises(StorageError, match="HARNESS_CACHE names another place"):
        fetch(manifest, hastily())
    assert tree(cache / "data" / "sets") == {}
    assert not list((cache / "data" / "incoming").glob("*.unpacked"))
    assert tree(fetch(manifest, hastily())) == {"one": b"1", "two": b"2", "three": b"3"}
    whole = [request for request in server.gets("/x.zip") if request.range is None]
    assert len(whole) == 1, "the archive itself was kept for the second attempt"


def test_a_hostile_archive_is_put_aside(cache: Path, server: FileServer) -> None:
    data = tar_of("../../../evil", b"evil")
    manifest = dataset(cache, url_file(server.put("/x.tgz", data), data, unpack="tar"))
    with pytest.raises(UnsafeArtefactError, match=r"leaves its folder; it is not unpacked\. It is kept at"):
        fetch(manifest, hastily())
    assert tree(cache / "data" / "sets") == {}
    assert list(tree(cache / "data" / "quarantine").values()) == [data]
    assert not list(cache.parent.rglob("evil"))


def test_a_damaged_archive_is_put_aside_and_fetched_anew(cache: Path, server: FileServer) -> None:
    data = zip_of(one=b"1" * 100)
    url = server.put("/x.zip", data[:-30])
    with pytest.raises(IntegrityError, match="is damaged"):
        fetch(dataset(cache, url_file(url, unpack="zip")), hastily())
    server.put("/x.zip", data, etag='"mended"')
    assert tree(fetch(dataset(cache, url_file(url, unpack="zip")), hastily())) == {"one": b"1" * 100}


# what users have -----------------------------------------------------------------------------------


def test_what_only_users_can_get_names_the_page(cache: Path) -> None:
    manifest = dataset(cache, own("data.h5"), terms="sign the agreement.", access="form")
    with pytest.raises(OriginError, match=r"ask for it at https://example.org/ask \(sign the agreement\), then run"):
        fetch(manifest, hastily())


def test_where_to_ask_is_said_before_others_are_fetched_in_vain(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA)), own("data.h5"))
    with pytest.raises(OriginError, match="ask for it at"):
        fetch(manifest, hastily())
    assert server.requests == []
    assert set(tree(fetch(manifest, hastily(pattern="a*")))) == {"a.bin"}


def test_own_files_are_referred_to_not_copied(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "deep" / "a.h5").write_bytes(DATA)
    (mine / "b.h5").write_bytes(b"b")
    manifest = dataset(cache, own("deep/a.h5", DATA), own("x/b.h5"))
    folder = fetch(manifest, hastily(source=mine))
    assert (folder / "deep" / "a.h5").samefile(mine / "deep" / "a.h5")
    assert (folder / "x" / "b.h5").samefile(mine / "b.h5")
    assert (folder / "deep" / "a.h5").is_symlink()
    assert (mine / "b.h5").stat().st_mode & 0o200, "the user's file is as it was"
    assert tree(cache / "data" / "objects") == {}


def test_own_files_can_be_copied(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(DATA)
    folder = fetch(dataset(cache, own("a.h5", DATA)), hastily(source=tmp_path / "a.h5", copy=True))
    (tmp_path / "a.h5").unlink()
    assert tree(folder) == {"a.h5": DATA}


def test_an_incomplete_own_folder_names_what_it_lacks(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.h5").write_bytes(DATA)
    manifest = dataset(cache, own("a.h5"), own("b.h5"), own("c.h5"))
    with pytest.raises(UsageError, match=r"mine does not hold b\.h5, c\.h5, which toy needs"):
        fetch(manifest, hastily(source=tmp_path / "mine"))
    assert tree(cache / "data" / "sets") == {}
    with pytest.raises(UsageError, match="nowhere does not exist"):
        fetch(manifest, hastily(source=tmp_path / "nowhere"))


def test_another_own_file_than_recorded_is_refused_and_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"a\.h5 is not the a\.h5 that was recorded for toy: it has 5 bytes"):
        fetch(dataset(cache, own("a.h5", DATA)), hastily(source=tmp_path / "a.h5"))
    assert (tmp_path / "a.h5").read_bytes() == b"other"
    assert not (cache / "data" / "quarantine").exists()


def test_an_own_archive_is_unpacked_from_where_it_lies(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of(one=b"1"))
    folder = fetch(dataset(cache, own("x.zip", unpack="zip")), hastily(source=tmp_path))
    assert tree(folder) == {"one": b"1"}
    assert (tmp_path / "x.zip").exists()


def test_a_file_by_hand_serves_for_one_that_could_be_downloaded(
    cache: Path, tmp_path: Path, server: FileServer
) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    url, other = server.put("/a.bin", DATA), server.put("/b.bin", b"b")
    manifest = dataset(cache, url_file(url, DATA), url_file(other))
    assert tree(fetch(manifest, hastily(source=tmp_path))) == {"a.bin": DATA, "b.bin": b"b"}
    assert server.gets("/a.bin") == []


def test_an_own_folder(cache: Path, tmp_path: Path) -> None:
    images = tmp_path / "mine" / "train"
    (images / "cat").mkdir(parents=True)
    (images / "cat" / "1.png").write_bytes(b"png")
    for source in (tmp_path / "mine", images):
        shutil.rmtree(cache, ignore_errors=True)
        manifest = dataset(cache, own("train", folder=True))
        folder = fetch(manifest, hastily(source=source))
        assert (folder / "train").samefile(images)
        assert (folder / "train" / "cat" / "1.png").read_bytes() == b"png"
    shutil.rmtree(images)
    with pytest.raises(UsageError, match="is not here yet"):
        dataset_folder(manifest)


def test_a_copied_own_folder_and_an_empty_one(cache: Path, tmp_path: Path) -> None:
    images = tmp_path / "train"
    images.mkdir()
    manifest = dataset(cache, own("train", folder=True))
    with pytest.raises(UsageError, match="is empty"):
        fetch(manifest, hastily(source=images))
    (images / "1.png").write_bytes(b"png")
    (images / "loop").symlink_to(images)
    folder = fetch(manifest, hastily(source=images, copy=True))
    shutil.rmtree(images)
    assert tree(folder) == {"train/1.png": b"png"}


def test_an_archive_never_writes_into_a_folder_of_the_users(cache: Path, tmp_path: Path, server: FileServer) -> None:
    train = tmp_path / "mine" / "train"
    train.mkdir(parents=True)
    (train / "1.png").write_bytes(b"png")
    data = zip_of(train__2=b"2")
    url = server.put("/x.zip", data)
    manifest = dataset(cache, own("train", folder=True), url_file(url, data, unpack="zip"))
    with pytest.raises(UsageError, match=r"x\.zip and train of toy both hold train/2"):
        fetch(manifest, hastily(source=tmp_path / "mine"))
    assert tree(train) == {"1.png": b"png"}


def test_what_users_have_is_closed_to_methods(cache: Path, tmp_path: Path) -> None:
    from harness.data.private import private_folders

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.h5").write_bytes(DATA)
    fetch(dataset(cache, own("a.h5")), hastily(source=mine))
    assert {str(cache), str(mine / "a.h5")} <= set(private_folders())


# machines ------------------------------------------------------------------------------------------


def test_no_room_is_said_before_anything_is_fetched(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.put("/a.bin", DATA)
    usage = type("Usage", (), {"free": 1 << 28})()
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"toy needs about 0\.0 GB on the disk, 0\.3 GB are free.*HARNESS_CACHE"):
        fetch(dataset(cache, url_file(url)), hastily())
    assert [request.method for request in server.requests] == ["HEAD"], "the size is asked for"


def test_room_for_unpacking_is_counted(cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zip_of(one=bytes(1_000_000))
    url = server.put("/x.zip", data)
    usage = type("Usage", (), {"free": (1 << 28) + 2 * len(data)})()
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="GB are free"):
        fetch(dataset(cache, url_file(url, data, unpack="zip")), hastily())
    assert tree(fetch(dataset(cache, url_file(url, data)), hastily())) == {"x.zip": data}


def test_a_disk_that_fills_up_leaves_what_can_be_gone_on_from(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.put("/a.bin", DATA, cut(50_000))

    class Full:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def write(self, data: bytes) -> None:
            if self.stream.tell() + len(data) > 60_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.stream.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    real = Path.open

    class Opened:
        def __init__(self, path: Path) -> None:
            self.stream = real(path, "ab")

        def __enter__(self) -> Full:
            return Full(self.stream)

        def __exit__(self, *_: object) -> None:
            self.stream.close()

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        return Opened(path) if mode == "ab" else real(path, mode, *rest, **options)

    manifest = dataset(cache, url_file(url, DATA))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        with pytest.raises(StorageError, match=r"No space left on device\. What was fetched so far is kept"):
            fetch(manifest, hastily())
    assert tree(cache / "data" / "sets") == tree(cache / "data" / "objects") == {}
    assert {Path(name).suffix for name in tree(cache / "data" / "incoming")} == {".part", ".json"}
    assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}
    assert server.gets("/a.bin")[-1].range is not None


def test_a_read_only_cache_serves_what_it_holds_and_says_what_it_cannot(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = dataset(cache, url_file(server.put("/a.bin", DATA), DATA))
    fetch(held, hastily())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert tree(fetch(held, hastily())) == {"a.bin": DATA}
    assert dataset_folder(held)
    with pytest.raises(StorageError, match=r"Read-only file system.*HARNESS_CACHE names another place"):
        fetch(dataset(cache, url_file(server.put("/b.bin", DATA))), hastily())


def test_a_published_md5_of_the_manifest_is_checked(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    assert fetch(dataset(cache, url_file(url, md5=md5(DATA))), hastily())
    with pytest.raises(IntegrityError, match=f"its md5 is {md5(DATA)}, expected {'0' * 32}"):
        fetch(dataset(cache, {**url_file(url, md5="0" * 32), "path": "b.bin"}), FetchOptions())


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["C:/a.txt"], "a colon, which names a drive"),
        (["a\nb.txt"], "control characters"),
        (["aux.txt"], "Windows keeps for a device"),
        (["a.txt."], "ends in a dot or a blank"),
        (["caf\u00e9.txt", "cafe\u0301.txt"], "take for the same name"),
        (["a.txt", "A.TXT"], "take for the same name"),
    ],
)
def test_an_archive_with_names_that_not_every_system_can_hold_is_put_aside(
    cache: Path, server: FileServer, names: list[str], sentence: str
) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in ("fine.txt", *names):
            archive.writestr(name, b"x")
    manifest = dataset(cache, url_file(server.put("/a.zip", data.getvalue()), unpack="zip"))
    with pytest.raises(UnsafeArtefactError, match=rf"^a\.zip holds .*{sentence}.*; it is not unpacked\. It is kept at"):
        fetch(manifest, hastily())
    assert tree(store.set_folder(manifest)) == {}
    assert len(list((cache / "data/quarantine").iterdir())) == 1

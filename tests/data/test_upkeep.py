"""Reading the cache again, making room in it, and recording what it holds."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from harness.data import catalog, store
from harness.data.fetch import fetch
from harness.data.locking import lock_dataset
from harness.data.manifests import Manifest, load_manifest
from harness.data.origins.base import OriginError
from harness.data.upkeep import prune, removable, verify
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.server import FileServer, cut
from tests.data.sources import dataset, hastily, sha256, tree, url_file
from tests.data.test_fetch import DATA, own, zip_of


@pytest.fixture
def pair(cache: Path, server: FileServer) -> Manifest:
    """A fetched data set of a file and an archive."""
    data = zip_of(one=b"1", two=b"2")
    manifest = dataset(
        cache, url_file(server.put("/a.bin", DATA), DATA), url_file(server.put("/x.zip", data), data, unpack="zip")
    )
    fetch(manifest, hastily())
    return manifest


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"spoilt" + path.read_bytes()[6:])


# verify --------------------------------------------------------------------------------------------


def test_what_is_as_it_was_gives_no_sentence(pair: Manifest) -> None:
    assert verify(pair) == ()


def test_nothing_to_verify(cache: Path) -> None:
    with pytest.raises(UsageError, match="nothing of toy is here to verify; run: harness data fetch"):
        verify(dataset(cache, own("a")))


def test_a_flipped_bit_is_found_put_aside_and_mended(pair: Manifest, server: FileServer, cache: Path) -> None:
    path = store.set_folder(pair) / "a.bin"
    path.chmod(0o644)
    data = bytearray(DATA)
    data[1000] ^= 1
    path.write_bytes(data)
    assert not store.missing_files(pair), "a quick look does not see it"
    (problem,) = verify(pair)
    assert problem.startswith("a.bin: its sha256 is ")
    assert list(tree(cache / "data" / "quarantine").values()) == [bytes(data)]
    assert [file.path for file in store.missing_files(pair)] == ["a.bin"]
    assert tree(fetch(pair, hastily())) == {"a.bin": DATA, "one": b"1", "two": b"2"}
    assert verify(pair) == ()
    assert len(server.gets("/x.zip")) == 1, "only what was damaged"


@pytest.mark.parametrize("harm", [spoil, Path.unlink])
def test_a_harmed_member_is_found_and_mended(pair: Manifest, harm: object) -> None:
    harm(store.set_folder(pair) / "two")  # type: ignore[operator]
    (problem,) = verify(pair)
    assert problem.startswith("x.zip: its member two ")
    fetch(pair, hastily())
    assert verify(pair) == ()
    assert tree(store.set_folder(pair))["two"] == b"2"


def test_a_lost_list_of_members_is_found(pair: Manifest) -> None:
    for path in store.sets_folder().glob("*.members/*"):
        path.unlink()
    assert verify(pair) == ("x.zip: what was unpacked from x.zip is not known any more",)


def test_a_users_file_that_changed_is_told_and_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(DATA)
    manifest = dataset(cache, own("a.h5"))
    fetch(manifest, hastily(source=tmp_path))
    (tmp_path / "a.h5").write_bytes(b"changed")
    assert verify(manifest) == (f"a.h5: {tmp_path / 'a.h5'} was changed since it was taken",)
    assert (tmp_path / "a.h5").read_bytes() == b"changed"
    fetch(manifest, hastily(source=tmp_path))
    (tmp_path / "a.h5").unlink()
    assert verify(manifest) == (f"a.h5: it is gone (it was {tmp_path / 'a.h5'})",)


def test_a_users_folder_that_changed_is_told(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.png").write_bytes(b"1")
    manifest = dataset(cache, own("train", folder=True))
    fetch(manifest, hastily(source=tmp_path))
    assert verify(manifest) == ()
    (tmp_path / "train" / "2.png").write_bytes(b"2")
    assert verify(manifest) == ("train: it has 2 files of 2 bytes, not 1 of 1 as when it was taken",)


def test_a_file_that_was_recorded_as_another_one_since(pair: Manifest, cache: Path, server: FileServer) -> None:
    now = dataset(cache, url_file(f"{server.address}/a.bin", b"other"), pair.spec.files[1].model_dump())
    assert verify(now) == ("a.bin: it was fetched before it was recorded, and is another file than that",)


# prune ---------------------------------------------------------------------------------------------


def test_pruning_frees_what_it_says_and_all_can_be_fetched_again(pair: Manifest, cache: Path) -> None:
    entries = removable(["toy"], None)
    assert sum(entry.bytes for entry in entries) == len(DATA) + 2
    assert tree(store.set_folder(pair)), "looking removes nothing"
    assert prune(entries) == len(DATA) + 2
    assert tree(cache / "data") == {}
    fetch(pair, hastily())
    assert verify(pair) == ()


def test_objects_that_another_data_set_has_stay(pair: Manifest, cache: Path, server: FileServer) -> None:
    other = dataset(cache, {**url_file(f"{server.address}/a.bin", DATA), "path": "b.bin"}, id="other")
    fetch(other, hastily())
    prune(removable(["toy"], None))
    assert store.object_path(sha256(DATA)).exists()
    assert verify(other) == ()
    prune(removable(["other"], None))
    assert not store.object_path(sha256(DATA)).exists()


def test_all_takes_leftovers_too_but_no_prepared_files(pair: Manifest, cache: Path, server: FileServer) -> None:
    url = server.put("/c.bin", DATA, *[cut(1000)] * 3, *[cut(0)] * 9)
    with pytest.raises(OriginError):
        fetch(dataset(cache, url_file(url), id="third"), hastily())
    prepared = catalog.prepared_folder() / "toy.npz"
    prepared.parent.mkdir(parents=True)
    prepared.write_bytes(b"prepared")
    assert any(entry.what == "unfinished" for entry in removable([], None))
    prune(removable([], None))
    assert tree(cache / "data") == {"prepared/toy.npz": b"prepared"}
    prune(removable([], None, prepared=True))
    assert tree(cache / "data") == {}


def test_what_another_process_is_fetching_is_no_leftover(cache: Path, server: FileServer) -> None:
    from harness.data.origins.base import ProgressListener

    part = cache / "data" / "incoming" / "abc.part"
    with store.locked(part, "a.bin", ProgressListener()):
        part.write_bytes(b"half")
        part.with_suffix(".json").write_text("{}")
        assert removable([], None) == []
    assert len(removable([], None)) == 2


def test_only_what_is_old(pair: Manifest, cache: Path, server: FileServer) -> None:
    assert removable([], 1.0) == []
    index = json.loads(store.index_path(pair.key).read_text())
    for held in index["files"].values():
        held["since"] = (datetime.now(timezone.utc) - timedelta(days=2)).isoformat()
    store.index_path(pair.key).write_text(json.dumps(index))
    assert removable([], 3.0) == []
    assert sum(entry.bytes for entry in removable([], 1.0)) == len(DATA) + 2


def test_what_users_have_elsewhere_is_never_removed(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.png").write_bytes(b"1")
    (tmp_path / "a.h5").write_bytes(DATA)
    fetch(dataset(cache, own("train", folder=True), own("a.h5")), hastily(source=tmp_path))
    assert prune(removable([], None)) == 0
    assert tree(tmp_path) == {"train/1.png": b"1", "a.h5": DATA}


# lock ----------------------------------------------------------------------------------------------

SOURCE = """
id = "toy"
title = "Toy"
licence = "none"
citation = ["me"]
[[files]]
path = "a.bin"
origin = {{ kind = "url", url = "{address}/a.bin" }}
[[files]]
path = "x.zip"
origin = {{ kind = "url", url = "{address}/x.zip" }}
unpack = "zip"
"""


@pytest.fixture
def mine(cache: Path, tmp_path: Path, server: FileServer) -> Path:
    """A user's manifest of two files that nobody has recorded."""
    server.put("/a.bin", DATA)
    server.put("/x.zip", zip_of(one=b"1"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "source.toml").write_text(SOURCE.format(address=server.address))
    return folder / "source.toml"


def test_locking_records_every_file(mine: Path, server: FileServer) -> None:
    archive = zip_of(one=b"1")
    before = load_manifest(mine)
    assert lock_dataset(before, hastily()) == mine.with_name("lock.json")
    after = load_manifest(mine)
    assert after.locked
    assert [after.pin(file)[:2] for file in after.spec.files] == [
        (sha256(DATA), len(DATA)),
        (sha256(archive), len(archive)),
    ]
    assert not store.missing_files(after), "what was fetched to be locked is used"
    server.put("/a.bin", bytes(len(DATA)))
    prune(removable(["toy"], None))
    with pytest.raises(IntegrityError, match="not the file that was recorded"):
        fetch(after, hastily())


def test_files_can_be_locked_one_after_another(mine: Path, server: FileServer) -> None:
    lock_dataset(load_manifest(mine), hastily(pattern="a*"))
    assert server.gets("/x.zip") == []
    half = load_manifest(mine)
    assert not half.locked
    lock_dataset(half, hastily(pattern="x*"))
    assert load_manifest(mine).locked
    assert len(server.gets("/a.bin")) == 1


def test_the_files_of_an_installation_are_not_written(mine: Path, tmp_path: Path) -> None:
    inside = tmp_path / "_bundled" / "datasets" / "toy"
    inside.mkdir(parents=True)
    (inside / "source.toml").write_text(mine.read_text())
    with pytest.raises(UsageError, match="part of the installed package; lock it in a checkout, or name a folder"):
        lock_dataset(load_manifest(inside / "source.toml"), hastily())
    into = tmp_path / "into"
    with pytest.raises(UsageError, match="into does not exist"):
        lock_dataset(load_manifest(inside / "source.toml"), hastily(), into)
    into.mkdir()
    assert lock_dataset(load_manifest(inside / "source.toml"), hastily(), into) == into / "lock.json"


def test_a_users_folder_is_read_when_it_is_locked(cache: Path, tmp_path: Path) -> None:
    train = tmp_path / "data" / "train"
    train.mkdir(parents=True)
    (train / "1.png").write_bytes(b"1")
    manifest = dataset(tmp_path, own("train", folder=True))
    lock_dataset(manifest, hastily(source=train))
    from harness.data.manifests import Manifest as Loaded
    from harness.spec.manifest import Lock

    locked = Loaded(manifest.spec, Lock.model_validate_json((tmp_path / "lock.json").read_text()), tmp_path)
    assert locked.locked
    assert not store.missing_files(locked)
    assert verify(locked) == ()
    (train / "1.png").write_bytes(b"2")
    assert verify(locked) == ("train: its files were changed since it was taken",)
    with pytest.raises(IntegrityError, match="files differ"):
        fetch(locked, hastily(source=train))


def test_parts_are_locked_by_their_samples(cache: Path, tmp_path: Path) -> None:
    """A part's hash is over ids and labels in their order, computed here by hand."""
    import hashlib

    import numpy as np

    source = tmp_path / "tiny.npz"
    labels = {"train": [[2], [0], [1]], "val": [[0]], "test": [[1]]}
    arrays = {f"{split}_labels": np.array(each, dtype=np.uint8) for split, each in labels.items()}
    arrays |= {f"{split}_images": np.zeros((len(each), 28, 28), dtype=np.uint8) for split, each in labels.items()}
    np.savez(source, **arrays)  # type: ignore[arg-type]
    manifest = dataset(
        tmp_path, own("tiny.npz"), reader={"kind": "medmnist", "file": "tiny.npz"}, parts={"train": {"split": "train"}}
    )
    lock = json.loads(lock_dataset(manifest, hastily(source=source)).read_text())
    from harness.data.readers.opening import open_part

    ids = open_part(manifest, "train", store.dataset_folder(manifest)).ids
    text = "".join(json.dumps([name, label]) + "\n" for name, label in zip(ids, (2, 0, 1), strict=True))
    assert lock["parts"] == {"train": hashlib.sha256(text.encode()).hexdigest()}

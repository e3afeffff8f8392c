"""Manifests by name and by path, and the locks beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.data import catalog
from harness.data.manifests import Pin, dataset_manifests, find_dataset
from harness.spec.errors import UsageError
from harness.storage import IntegrityError

ONE, OTHER = "1" * 64, "2" * 64
COMMIT = "c" * 40
MANIFEST = """
id = "mine"
title = "Mine"
licence = "none"
citation = ["me"]
[[files]]
path = "a.bin"
origin = { kind = "url", url = "https://example.org/a.bin" }
[[files]]
path = "b/c.parquet"
origin = { kind = "hub", repo = "org/name", file = "c.parquet" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled data set `mine`."""
    monkeypatch.setattr(catalog, "bundled_folder", lambda name: tmp_path / name)
    path = tmp_path / "datasets" / "mine"
    path.mkdir(parents=True)
    (path / "source.toml").write_text(MANIFEST)
    return path


def lock(folder: Path, **changes: object) -> None:
    files = {"a.bin": {"sha256": ONE, "bytes": 5}, "b/c.parquet": {"sha256": OTHER, "bytes": 6, "revision": COMMIT}}
    (folder / "lock.json").write_text(json.dumps({"dataset": "mine", "files": files, **changes}))


def test_every_bundled_manifest_reads_and_has_a_card() -> None:
    assert {"mnist-5k", "cifar-10", "fdshifts-weights"} <= set(dataset_manifests())
    for name, path in dataset_manifests().items():
        manifest = find_dataset(name)
        assert manifest.spec.id == name
        assert path.with_name("README.md").read_text().startswith(f"# {name}\n")


def test_by_name_by_folder_and_by_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = [find_dataset(each) for each in ("mine", str(folder), folder / "source.toml", "source.toml", ".")]
    assert {each.spec.id for each in found} == {"mine"}
    assert len({each.key for each in found}) == 1


def test_unknown_names_come_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no data set is called 'mien'; did you mean mine\?"):
        find_dataset("mien")
    with pytest.raises(UsageError, match="there is no data set at"):
        find_dataset(str(folder / "nowhere"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('title = "Mine"', "", "title: it is missing; add it"),
        ('"a.bin"', '"../a.bin"', "files.0.path: "),
        ('"a.bin"', '"/etc/passwd"', "files.0.path: "),
        ('path = "b/c.parquet"', 'path = "a.bin"', "a.bin"),
        ("https://", "ftp://", "files.0.origin.url: it must be of the form"),
        ('id = "mine"', 'id = "yours"', "id: it is 'yours', but its folder is called 'mine'"),
    ],
)
def test_a_field_to_mend_is_named(folder: Path, old: str, new: str, sentence: str) -> None:
    (folder / "source.toml").write_text(MANIFEST.replace(old, new))
    with pytest.raises(UsageError, match=re.escape(sentence)) as raised:
        find_dataset("mine")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (
            'path = "a.bin/x"\norigin = { kind = "url", url = "https://example.org/x" }',
            "a.bin/x would lie inside a.bin",
        ),
        (
            'path = "t.zip"\norigin = { kind = "url", url = "https://example.org/t" }\nunpack = "zip"\ninto = "train/x"',
            "t.zip would be unpacked into train, a folder of the user's",
        ),
        (
            'path = "train/x"\norigin = { kind = "url", url = "https://example.org/x" }',
            "train/x would lie inside train",
        ),
    ],
)
def test_nothing_is_laid_into_files_or_folders_of_users(folder: Path, file: str, sentence: str) -> None:
    own = '[[files]]\npath = "train"\nfolder = true\norigin = { kind = "own", page = "https://example.org" }\n'
    (folder / "source.toml").write_text(MANIFEST + own + f"[[files]]\n{file}\n")
    with pytest.raises(UsageError, match=re.escape(sentence)):
        find_dataset("mine")


def test_a_lock_pins_what_the_manifest_leaves_open(folder: Path) -> None:
    before = find_dataset("mine")
    assert not before.locked
    assert before.pin(before.spec.files[0]) == Pin(None, None, None)
    lock(folder)
    after = find_dataset("mine")
    assert after.locked
    assert [after.pin(file) for file in after.spec.files] == [Pin(ONE, 5, None), Pin(OTHER, 6, COMMIT)]
    assert after.key == before.key, "what was fetched before it was locked is still found"


def test_the_key_changes_with_what_is_fetched(folder: Path) -> None:
    before = find_dataset("mine").key
    (folder / "source.toml").write_text(MANIFEST.replace('title = "Mine"', 'title = "Ours"'))
    assert find_dataset("mine").key == before
    (folder / "source.toml").write_text(MANIFEST.replace("example.org", "example.com"))
    assert find_dataset("mine").key != before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": "other"}, "belongs to the data set other"),
        ({"files": {"z.bin": {"sha256": ONE, "bytes": 5}}}, "records z.bin, which source.toml does not name"),
        ({"files": {"a.bin": {"sha256": "short", "bytes": 5}}}, "is damaged: files.a.bin.sha256"),
        ({"parts": {"train": ONE}}, "records the part train"),
    ],
)
def test_a_lock_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], sentence: str) -> None:
    lock(folder, **changes)
    with pytest.raises(IntegrityError, match=re.escape(sentence)):
        find_dataset("mine")


def test_lock_and_manifest_must_not_disagree(folder: Path) -> None:
    (folder / "source.toml").write_text(MANIFEST.replace('path = "a.bin"', f'path = "a.bin"\nsha256 = "{OTHER}"'))
    lock(folder)
    with pytest.raises(IntegrityError, match=r"disagree on a\.bin"):
        find_dataset("mine")

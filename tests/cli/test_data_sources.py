"""`harness data`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import harness
from tests.data.server import FileServer
from tests.data.server import server as server

DATA = bytes(range(256)) * 100
SOURCE = """
id = "toy"
title = "Toy"
licence = "none"
citation = ["me"]
[[files]]
path = "a.bin"
origin = {{ kind = "url", url = "{url}" }}
"""


@pytest.fixture
def folder(tmp_path: Path, server: FileServer) -> Path:
    """A folder with a manifest of one file, `mine/source.toml`."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "source.toml").write_text(SOURCE.format(url=server.put("/a.bin", DATA)))
    return tmp_path


def test_the_life_of_a_data_set(folder: Path, server: FileServer) -> None:
    absent = harness("data", "where", "mine/source.toml", folder=folder)
    assert absent.returncode == 2
    assert "toy is not here yet (1 of 1 files: a.bin); run: harness data fetch mine/source.toml" in absent.stderr
    fetched = harness("data", "fetch", "mine/source.toml", folder=folder)
    assert fetched.returncode == 0
    path = Path(fetched.stdout.strip())
    assert (path / "a.bin").read_bytes() == DATA
    assert fetched.stderr.strip().startswith("toy: nobody has recorded the sha256 of 1 of 1 files"), "no bar, no codes"
    assert "\x1b" not in fetched.stderr
    assert harness("data", "where", "mine/source.toml", folder=folder).stdout.strip() == str(path)
    assert harness("data", "verify", "mine/source.toml", folder=folder).stdout == "1 data set as fetched.\n"
    locked = harness("data", "lock", "mine/source.toml", folder=folder)
    assert locked.stdout.strip() == "mine/lock.json"
    assert json.loads((folder / "mine" / "lock.json").read_text())["files"]["a.bin"]["bytes"] == len(DATA)
    (path / "a.bin").chmod(0o644)
    (path / "a.bin").write_bytes(b"spoilt")
    damaged = harness("data", "verify", "mine/source.toml", folder=folder)
    assert damaged.returncode == 3
    assert "toy: a.bin: its sha256 is" in damaged.stdout
    assert "to mend it: harness data fetch mine/source.toml" in damaged.stdout
    mended = harness("data", "fetch", "mine/source.toml", folder=folder)
    assert (mended.returncode, mended.stderr) == (0, ""), "it is locked now: no warning"
    rehearsed = harness("data", "prune", "toy", "--dry-run", folder=folder)
    assert "26 kB would be freed." in rehearsed.stdout
    assert (path / "a.bin").read_bytes() == DATA
    assert "26 kB are freed." in harness("data", "prune", "toy", folder=folder).stdout
    assert harness("data", "where", "mine/source.toml", folder=folder).returncode == 2


def test_the_list_says_what_is_here(tmp_path: Path) -> None:
    before = json.loads(harness("data", "list", "--json", folder=tmp_path).stdout)
    (row,) = [each for each in before if each["id"] == "mnist-5k"]
    assert (row["files"], row["locked"], row["here"], row["bytes"]) == (1, 1, 0, 1106785)
    assert harness("data", "fetch", "mnist-5k", folder=tmp_path).returncode == 0
    lines = harness("data", "list", folder=tmp_path).stdout.splitlines()
    (line,) = [each for each in lines if "mnist-5k" in each]
    assert line.split()[-5:] == ["1.1", "MB", "1/1", "open", "yes"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fetch", "mnist"], "no data set is called 'mnist'; did you mean"),
        (["verify"], "name one data set, or give --all."),
        (["verify", "mnist-5k", "--all"], "name one data set, or give --all."),
        (["verify", "mnist-5k"], "nothing of mnist-5k is here to verify; run: harness data fetch mnist-5k"),
        (["prune"], "name one data set, or give --all or --older DAYS."),
        (["prune", "mnist-5k", "--all"], "name one data set, or give --all or --older DAYS."),
        (["prune", "nothing-like-it"], "no data set is called"),
        (["fetch", "cifar-10", "--from", "nowhere"], "--from nowhere does not exist."),
        (
            ["fetch", "fdshifts-weights", "--file", "x*"],
            "no file of fdshifts-weights fits 'x*'; there are: iwildcam.zip",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    done = harness("data", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_archive_than_the_published_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not the real one")
    done = harness("data", "fetch", "cifar-10", "--from", ".", folder=tmp_path)
    assert done.returncode == 3
    assert "expected c32a1d4ab5d03f1284b67883e8d87530" in done.stderr


def test_a_full_or_forbidden_cache_is_told_with_its_place(folder: Path) -> None:
    (folder / "file").write_text("")
    done = harness("data", "fetch", "mine/source.toml", folder=folder, HARNESS_CACHE=str(folder / "file" / "cache"))
    assert done.returncode == 1
    assert "HARNESS_CACHE names another place for it." in done.stderr
    assert "unexpected" not in done.stderr


def test_the_doctor_counts_a_file_with_two_names_once(folder: Path) -> None:
    from harness.cli.doctor import _size_of

    assert _size_of(folder / "cache") == 0
    harness("data", "fetch", "mine/source.toml", folder=folder)
    assert len(DATA) <= _size_of(folder / "cache") < len(DATA) + 2000

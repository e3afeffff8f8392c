"""Large files: grown, adopted, linked, moved, removed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.storage import StorageError, adopt, copy_file, growing, link, make_folder, move_into, remove


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_growing_file_goes_on_at_its_end_and_keeps_what_came_before_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    with growing(path) as stream:
        stream.write(b"one")
    with suppress(KeyError), growing(path) as stream:
        stream.write(b"two")
        raise KeyError
    assert path.read_bytes() == b"onetwo"
    with pytest.raises(StorageError, match=r"Could not write .*: No such file"), growing(tmp_path / "no" / "x"):
        pass


def test_an_adopted_file_is_read_only_and_replaces_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x"
    for data in (b"old", b"new"):
        (tmp_path / "x.part").write_bytes(data)
        adopt(tmp_path / "x.part", target)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o444
    assert not (tmp_path / "x.part").exists()


def test_a_link_is_hard_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"x")
    link(tmp_path / "x", tmp_path / "d" / "hard")
    assert (tmp_path / "d" / "hard").stat().st_nlink == 2
    link(tmp_path / "x", tmp_path / "d" / "hard")
    assert names(tmp_path / "d") == {"hard"}, "an older link is replaced, nothing is left"
    link(tmp_path / "x", tmp_path / "d" / "soft", hard=False)
    assert (tmp_path / "d" / "soft").readlink() == tmp_path / "x"

    monkeypatch.chdir(tmp_path)
    link(Path("x"), Path("d/relative"), hard=False)
    assert (tmp_path / "d" / "relative").read_bytes() == b"x", "it means the file, wherever the link lies"

    def refuse(*_: Any) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", refuse)
    link(tmp_path / "x", tmp_path / "d" / "fallen")
    assert (tmp_path / "d" / "fallen").is_symlink()


def test_folders_are_merged_but_links_are_not_followed(tmp_path: Path) -> None:
    for name in ("new/a/1", "new/b", "old/a/2", "old/b", "users/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    move_into(tmp_path / "new", tmp_path / "old")
    assert {path.relative_to(tmp_path / "old").as_posix() for path in (tmp_path / "old").rglob("*")} == {
        "a",
        "a/1",
        "a/2",
        "b",
    }
    assert (tmp_path / "old" / "b").read_text() == "new/b"
    (tmp_path / "more" / "c").mkdir(parents=True)
    (tmp_path / "more" / "c" / "evil").write_text("evil")
    (tmp_path / "old" / "c").symlink_to(tmp_path / "users")
    with pytest.raises(StorageError):
        move_into(tmp_path / "more", tmp_path / "old")
    assert names(tmp_path / "users") == {"3"}


def test_removing_takes_links_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").write_text("x")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "set").chmod(0o500)
    remove(tmp_path / "set")
    remove(tmp_path / "set")
    assert (tmp_path / "kept" / "x").exists()
    (tmp_path / "other").symlink_to(tmp_path / "kept")
    remove(tmp_path / "other")
    assert (tmp_path / "kept" / "x").exists()
    assert not (tmp_path / "other").is_symlink()


def test_a_copy_is_whole_and_read_only_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    (tmp_path / "x").write_bytes(b"x" * 100)
    copy_file(tmp_path / "x", tmp_path / "d" / "y")
    assert (tmp_path / "d" / "y").read_bytes() == b"x" * 100
    assert not (tmp_path / "d" / "y").stat().st_mode & 0o222

    def full(_: Path, target: Path) -> None:
        target.write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="No space left"):
        copy_file(tmp_path / "x", tmp_path / "d" / "z")
    assert not (tmp_path / "d" / "z").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Could not make the folder"):
        make_folder(tmp_path / "file" / "x")

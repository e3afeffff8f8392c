"""Folders that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.storage import StorageError, remove_stale_folders, replacing_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_and_stop(folder: Path) -> None:
    (folder / "new").touch()
    raise KeyboardInterrupt


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "a") as new:
        (new / "inner").mkdir()
        (new / "inner" / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a/inner/x").read_text() == "1"
    assert names(tmp_path) == ["a"]


def test_an_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/old").touch()
    with replacing_folder(tmp_path / "a") as new:
        (new / "new").touch()
    assert names(tmp_path / "a") == ["new"]
    assert names(tmp_path) == ["a"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/old").touch()
    with pytest.raises(KeyboardInterrupt), replacing_folder(tmp_path / "a") as new:
        fill_and_stop(new)
    assert names(tmp_path / "a") == ["old"]
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"Could not write .*a: No space left"), replacing_folder(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert not names(tmp_path)


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".harness-0123456789abcdef.folder" / "x").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    remove_stale_folders(tmp_path)
    assert names(tmp_path) == ["kept"]

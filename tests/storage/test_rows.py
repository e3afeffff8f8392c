"""Arrays read row by row: the same numbers as all at once, and no hostile file is believed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.storage import IntegrityError, array_rows

ARRAYS = {
    "maps": np.arange(24, dtype=np.float16).reshape(4, 3, 2),
    "big": np.arange(6, dtype=">f8").reshape(2, 3),
    "line": np.arange(5),
    "none": np.empty((0, 3), dtype=np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_those_of_the_array(tmp_path: Path, save: object) -> None:
    save(tmp_path / "a.npz", **ARRAYS)  # type: ignore[operator]
    found = array_rows(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        rows = list(found[name])
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert len(rows) == len(array)
        for row, one in zip(rows, array, strict=True):
            np.testing.assert_array_equal(row, one)
        assert len(list(found[name])) == len(array), "a second time from the start"


@pytest.mark.parametrize(
    "array",
    [np.array([object()], dtype=object), np.array(["text"]), np.float64(1.0), np.asfortranarray(np.ones((3, 2)))],
)
def test_what_is_not_stored_row_by_row(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", a=array)
    with pytest.raises(IntegrityError, match="holds no numbers that are stored row by row"):
        array_rows(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + b"\xff" * 18])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match="is not a valid file of arrays"):
        array_rows(tmp_path / "a.npz")


def test_members_that_are_no_arrays_or_there_twice(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("run.py", "")
    with pytest.raises(IntegrityError, match=r"member 'run\.py' is not an array"):
        array_rows(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.ones(3))
    with zipfile.ZipFile(tmp_path / "b.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.npy", archive.read("a.npy"))
    with pytest.raises(IntegrityError, match="two arrays of one name"):
        array_rows(tmp_path / "b.npz")


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        data = archive.read("a.npy").replace(b"(3,)", b"(9,)")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(IntegrityError, match="is not as long as its header says"):
        array_rows(tmp_path / "b.npz")

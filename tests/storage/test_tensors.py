"""Tensors in files: every bit comes back, and no damaged file is believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.storage import IntegrityError, StorageError, read_tensors, write_tensors

ARRAYS = {
    "half": np.array([[1.5, -0.0], [np.nan, np.inf]], dtype=np.float16),
    "single": np.linspace(-1, 1, 7, dtype=np.float32),
    "double": np.array([np.pi, 5e-324]),
    "labels": np.array([-99, 0, 2**62]),
    "flags": np.array([True, False]),
    "nothing": np.empty((0, 3), dtype=np.float32),
    "mc_logits": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(0, 2, 1),
}


def test_every_bit_comes_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", ARRAYS)
    found = read_tensors(tmp_path / "a.safetensors")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", ARRAYS)
    other = {name: np.asfortranarray(ARRAYS[name]) for name in reversed(ARRAYS)}
    other["single"] = other["single"].astype(">f4")
    write_tensors(tmp_path / "b", other)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array([1j])])
def test_what_is_no_number_is_refused_before_anything_is_written(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(TypeError):
        write_tensors(tmp_path / "a", {"fine": np.zeros(2), "odd": array})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_tensors(tmp_path / "nowhere" / "a", ARRAYS)
    with pytest.raises(OSError, match="No such file"):
        read_tensors(tmp_path / "a")


def _header(text: str) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        (1 << 62).to_bytes(8, "little") + b"{}",
        _header("{"),
        _header(json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})),
        _header(json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})) + b"\0" * 4,
        _header(json.dumps({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}})) + b"\0" * 8,
        _header(json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})) + b"\0" * 9,
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"a\.safetensors is not a valid file of tensors"):
        read_tensors(tmp_path / "a.safetensors")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", ARRAYS)
    whole = (tmp_path / "a").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "b").write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            read_tensors(tmp_path / "b")

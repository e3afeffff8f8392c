"""Tensors in files: exact, the same bytes each time, whole or absent."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from harness.storage import StorageError, write_weights


def test_every_number_comes_back(tmp_path):
    tensors = {
        "float": torch.tensor([0.1, float("inf"), float("nan")]),
        "half": torch.ones(2, 3).half(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "turned": torch.arange(6).reshape(2, 3).T,
    }
    write_weights(tmp_path / "a.safetensors", tensors)
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert torch.equal(found[name].view(-1).nan_to_num(-1), value.reshape(-1).nan_to_num(-1))


def test_order_and_memory_change_no_byte(tmp_path):
    first, second = torch.arange(6.0).reshape(2, 3), torch.ones(4)
    write_weights(tmp_path / "a", {"first": first, "second": second})
    write_weights(tmp_path / "b", {"second": second.clone(), "first": first.T.contiguous().T})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_that_share_memory_are_written_each_by_itself(tmp_path):
    whole = torch.arange(4.0)
    write_weights(tmp_path / "a", {"whole": whole, "part": whole[1:3], "again": whole})
    found = load_file(tmp_path / "a")
    assert found["part"].tolist() == [1.0, 2.0]
    assert found["again"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(StorageError):
        write_weights(tmp_path / "nowhere" / "a", {"a": torch.ones(1)})
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(TypeError):
        write_weights(tmp_path / "old", {1: torch.ones(1)})
    assert (tmp_path / "old").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]

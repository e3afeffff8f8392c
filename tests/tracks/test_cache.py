"""Computed arrays on disk: computed once, and again where the file is damaged."""

import numpy as np
import pytest

from harness.spec.errors import UsageError
from harness.tracks.cache import cached_arrays


def test_arrays_are_computed_once_and_again_when_the_file_is_damaged(tmp_path):
    calls, path = [], tmp_path / "deep" / "arrays.npz"

    def compute():
        calls.append(len(calls))
        return {"values": np.arange(3)}

    for expected in (1, 1):
        assert cached_arrays(path, compute)["values"].tolist() == [0, 1, 2]
        assert len(calls) == expected
    path.write_bytes(path.read_bytes()[:-7])
    assert cached_arrays(path, compute)["values"].tolist() == [0, 1, 2]
    assert len(calls) == 2
    cached_arrays(path, compute)
    assert len(calls) == 2, "the damaged file was replaced"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be made .*; set HARNESS_CACHE"):
        cached_arrays(tmp_path / "file" / "arrays.npz", lambda: {"values": np.zeros(1)})

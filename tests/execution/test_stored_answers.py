"""Stored answers are read and checked when they are asked for, and measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import cache_folder
from harness.execution import answers as module
from harness.execution.answers import StoredAnswers, measured, outputs_id, outputs_path
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, write_arrays
from harness.tracks.base import Measurement, Score

IDS = ("a" * 64, "b" * 64)


class Counting:
    """A track that counts how often it measures."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def measure(self, unit: Unit, outputs: object, metrics: object = None) -> Measurement:
        self.asked.append(unit.study)
        return Measurement({"m": Score(np.array([0.5, np.nan]), 3)}, {"curve": np.arange(2), "names": np.array(["x"])})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "outputs").mkdir()
    for number, unit in enumerate(IDS):
        write_arrays(outputs_path(tmp_path, unit), {"confidence": np.arange(4.0) + number})
    return tmp_path


def results(status: str = "ok") -> list[UnitResult]:
    ids = [outputs_id({"confidence": np.arange(4.0) + number}) for number in range(2)]
    about = {"model": "m", "seed": 0, "study": "s", "status": status, "reason": ""}
    return [UnitResult(unit=unit, outputs=hashed, **about) for unit, hashed in zip(IDS, ids, strict=True)]


def unit(study: str) -> Unit:
    hashes = dict.fromkeys(("benchmark_hash", "method_hash", "artefacts_hash", "metrics_hash"), "0" * 64)
    return Unit(task="t", model="m", model_seed=0, study=study, seed=0, device="cpu", limit=None, **hashes)


@pytest.mark.parametrize("kept", [1 << 20, 0])
def test_answers_are_those_that_were_stored_however_many_are_kept(folder, monkeypatch, kept):
    monkeypatch.setattr(module, "_KEPT_BYTES", kept)
    found = StoredAnswers(folder, results())
    assert list(found) == list(IDS)
    assert len(found) == 2
    for number, key in enumerate(IDS):
        np.testing.assert_array_equal(found[key]["confidence"], np.arange(4.0) + number)
        assert (found[key] is found[key]) == bool(kept)
    assert not StoredAnswers(folder, results("failed"))


def test_what_was_changed_or_is_missing_is_said_when_it_is_asked_for(folder):
    found = StoredAnswers(folder, results())
    write_arrays(outputs_path(folder, IDS[0]), {"confidence": np.arange(5.0)})
    with pytest.raises(IntegrityError, match="was changed after it was scored; use --fresh"):
        found[IDS[0]]
    outputs_path(folder, IDS[0]).write_bytes(b"PK")
    with pytest.raises(IntegrityError, match="is not a valid file of arrays; use --fresh to run again"):
        found[IDS[0]]
    outputs_path(folder, IDS[1]).unlink()
    with pytest.raises(IntegrityError, match="the stored answers of s on m, is missing; use --fresh to run again"):
        found[IDS[1]]


def test_what_is_known_is_not_measured_again(folder):
    track, outputs = Counting(), {"confidence": np.arange(4.0)}
    first = measured(track, unit("near"), outputs)
    again = measured(track, unit("near"), outputs, outputs_id(outputs))
    assert track.asked == ["near"]
    assert again.scores.keys() == first.scores.keys()
    np.testing.assert_array_equal(again.scores["m"].draws, first.scores["m"].draws)
    assert again.scores["m"].n == 3
    assert {name: array.tolist() for name, array in again.arrays.items()} == {"curve": [0, 1], "names": ["x"]}
    measured(track, unit("far"), outputs)
    measured(track, unit("near"), {"confidence": np.arange(5.0)})
    assert track.asked == ["near", "far", "near"], "another unit, and other answers"


def test_a_cache_may_be_deleted_or_damaged_at_any_time(folder):
    track, outputs = Counting(), {"confidence": np.arange(4.0)}
    measured(track, unit("near"), outputs)
    (kept,) = (cache_folder() / "measurements").rglob("*.npz")
    kept.write_bytes(b"no archive")
    measured(track, unit("near"), outputs)
    kept.unlink()
    measured(track, unit("near"), outputs)
    assert track.asked == ["near"] * 3

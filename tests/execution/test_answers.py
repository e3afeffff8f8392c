"""Stored answers and what they are worth: read and checked once, measured once, the same from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import LoadedBenchmark
from harness.execution.answers import measured
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.discovery import find_method
from harness.spec.run import Unit
from harness.tracks.base import Answers, Track
from harness.tracks.summary import records
from tests.boards.support import SAMPLES, write_checkout


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return write_checkout(tmp_path)


@pytest.fixture
def asked(protocol: LoadedBenchmark) -> tuple[Track, Unit, Answers]:
    method = find_method("msr").spec
    track = open_track(protocol, method, "cpu")
    unit = next(iter(plan_units(protocol, track, method, PlanRequest(Path())).values()))
    return track, unit, {"confidence": np.random.default_rng(0).normal(size=SAMPLES).astype(np.float32)}


def test_a_measurement_is_the_same_from_the_cache_however_it_is_damaged(
    asked: tuple[Track, Unit, Answers], tmp_path: Path
) -> None:
    """The order of metrics too: tables follow it, and it is not that of the alphabet."""
    track, _, _ = asked
    first = records(track.measure(*asked[1:]))
    assert [each.metric for each in first] == ["failure_rate", "augrc"]
    for _ in ("computed", "cached"):
        assert records(measured(*asked)) == first
    (kept,) = (tmp_path / "cache" / "measurements").rglob("*.npz")
    kept.write_bytes(b"damaged")
    assert records(measured(*asked)) == first


def test_replicates_and_arrays_come_back_as_they_were(asked: tuple[Track, Unit, Answers]) -> None:
    fresh, kept = measured(*asked), measured(*asked)
    assert list(kept.scores) == list(fresh.scores)
    for name, score in fresh.scores.items():
        np.testing.assert_array_equal(kept.scores[name].draws, score.draws)
        assert kept.scores[name].n == score.n == SAMPLES


def test_other_answers_have_another_measurement(asked: tuple[Track, Unit, Answers]) -> None:
    track, unit, outputs = asked
    turned = {"confidence": -outputs["confidence"]}
    assert records(measured(track, unit, turned)) == records(track.measure(unit, turned))
    assert records(measured(*asked)) != records(measured(track, unit, turned))

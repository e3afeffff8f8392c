"""Large tables of one's own are held once: what is done with them goes through them some samples at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from harness.data.array_cache import read_cached
from harness.data.catalog import load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.discovery import find_method
from harness.tracks.confidence import outcomes, scoring
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.confidence.outcomes import predictions
from harness.tracks.confidence.picture import _row_groups
from harness.tracks.confidence.track import ConfidenceTrack

MEMBERS, SAMPLES, CLASSES = 25, 20_000, 10
BENCHMARK = f"""schema_version = 1
id = "large"
version = 1
title = "Large"
task = "confidence"
metrics = ["augrc"]
[source]
kind = "table"
holds = "logits"
values = "logits"
mc_logits = "mc_logits"
[[source.models]]
id = "one"
table = {{ path = "large.npz" }}
[source.sets]
all = {{ rows = [0, {SAMPLES}] }}
[[studies]]
id = "iid"
kind = "iid"
samples = "all"
group = "iid"
"""


def peak_of(run: Callable[[], object]) -> int:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("method", ["msr", "mcd-pe"])
def test_a_table_with_members_is_held_once(tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(0)
    members = rng.normal(size=(MEMBERS, SAMPLES, CLASSES)).astype(np.float32)
    labels = rng.integers(CLASSES, size=SAMPLES)
    np.savez(tmp_path / "large.npz", logits=members[0], labels=labels, mc_logits=members)
    (tmp_path / "benchmark.toml").write_text(BENCHMARK)
    protocol, spec = load_protocol(tmp_path / "benchmark.toml"), find_method(method).spec

    track = open_track(protocol, spec, "cpu")
    assert isinstance(track, ConfidenceTrack)
    (unit,) = plan_units(protocol, track, spec, PlanRequest(tmp_path)).values()
    answers = {unit: {"confidence": rng.normal(size=SAMPLES).astype(np.float32)}}
    constant = {unit: {"confidence": np.zeros(SAMPLES, dtype=np.float32)}}
    held = members.nbytes + members[0].nbytes + labels.nbytes
    assert peak_of(track.check_own_files) < 1.5 * held
    assert peak_of(lambda: track.judge(unit, answers[unit])) < 0.1 * held, "read again where all was known"
    assert peak_of(lambda: list(track.notes(answers))) < 1.5 * held
    (note,) = track.notes(constant)
    assert "tied almost everywhere" in note
    assert peak_of(lambda: list(track.notes(constant))) < 1.5 * held


@pytest.mark.parametrize("name", ["mc_logits", "mc_probabilities"])
def test_the_mean_of_members_is_the_same_some_samples_at_a_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    members = np.random.default_rng(0).normal(size=(7, 50, 4)).astype(np.float32)
    members = members if name == "mc_logits" else softmax(members, axis=2)
    mean = (softmax(members.astype(float), axis=2) if name == "mc_logits" else members).mean(axis=0, dtype=float)
    monkeypatch.setattr(outcomes, "_ROWS", 8)
    found = predictions(ModelOutputs({name: members}, np.zeros(50, dtype=int)), "mc-mean")
    assert found.tolist() == mean.argmax(axis=1).tolist()


@given(st.integers(1, 30), st.sampled_from([(), (1,), (3,), (2, 2)]), st.integers(1, 3), st.integers(0, 99))
def test_rows_are_grouped_as_they_are_equal(n: int, shape: tuple[int, ...], values: int, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(values, size=(n, *shape)).astype(np.float32)
    found = _row_groups(rows)
    equal = (rows[:, None] == rows[None]).reshape(n, n, -1).all(axis=2)
    assert ((found[:, None] == found[None]) == equal).all()
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))


def test_kept_resamples_are_those_that_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    asked = (100, 7, (9_000, 2_000))
    drawn = scoring._by_sample.__wrapped__(*asked)
    assert np.array_equal(drawn, scoring._by_replicate.__wrapped__(*asked).T)
    (kept,) = (tmp_path / "resamples").rglob("*.npz")
    assert read_cached("resamples", kept.stem)
    monkeypatch.setattr(scoring, "weights_by_sample", None)  # it is not drawn again
    assert np.array_equal(scoring._by_sample.__wrapped__(*asked), drawn)
    monkeypatch.undo()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    kept.write_bytes(kept.read_bytes()[:-100])
    assert np.array_equal(scoring._by_sample.__wrapped__(*asked), drawn), "a damaged file only costs time"

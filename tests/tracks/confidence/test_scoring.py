"""Scores over seeds, their intervals, and the draws that all methods share."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.execution.plan import PlanRequest, plan_units
from harness.metrics import METRICS, augrc
from harness.spec.benchmark import Bootstrap
from harness.spec.method import ConfidenceMethod
from harness.spec.run import Unit
from harness.statistics import resampling
from harness.tracks.base import Answers, Measurement
from harness.tracks.confidence import scoring
from harness.tracks.confidence.scoring import JudgedConfidence, confidence_scores, metric_value
from harness.tracks.confidence.track import ConfidenceTrack
from harness.tracks.summary import records
from tests.boards.support import MODELS, write_checkout, wrong
from tests.tracks.support import replicates, summary

METHOD = ConfidenceMethod(
    task="confidence",
    name="made-up",
    version="1",
    origin="file",
    target="x.py:x",
    symbol="x",
    source_sha256="0" * 64,
)


@pytest.fixture
def protocol(tmp_path: Path) -> LoadedBenchmark:
    found = write_checkout(tmp_path)
    text = found.path.read_text().replace('metrics = ["augrc"]', 'metrics = ["augrc", "failure_auroc", "ece"]')
    found.path.write_text(text.replace('group = "iid"', 'group = "both"').replace('group = "shift"', 'group = "both"'))
    return load_protocol(found.path)


def answered(protocol: LoadedBenchmark, quality: float, seed: int = 0) -> tuple[ConfidenceTrack, dict[Unit, Answers]]:
    track = ConfidenceTrack(protocol, METHOD)
    rng = np.random.default_rng(seed)
    outputs: dict[Unit, Answers] = {}
    for unit in plan_units(protocol, track, METHOD, PlanRequest(Path())).values():
        truth = wrong(protocol, unit.model, unit.study)
        outputs[unit] = {"confidence": (rng.normal(size=len(truth)) - quality * truth).astype(np.float32)}
    return track, outputs


def test_a_summary_is_the_mean_over_seeds_with_an_interval_around_it(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    rows = {(row.study, row.metric): row for row in summary(track, outputs)}
    shift = [
        augrc(out["confidence"], wrong(protocol, u.model, "shift")) for u, out in outputs.items() if u.study == "shift"
    ]
    row = rows["shift", "augrc"]
    assert row.value == pytest.approx(np.mean(shift), rel=1e-12)
    assert row.low is not None
    assert row.high is not None
    assert row.low < np.mean(shift) < row.high
    assert row.seeds == len(MODELS)
    rate = np.mean([wrong(protocol, model, "shift").mean() for model in MODELS])
    assert rows["shift", "failure_rate"].value == pytest.approx(rate)
    assert rows["shift", "failure_rate"].low is None


def test_calibration_is_undefined_for_scores_that_are_no_probabilities(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    unit = next(iter(outputs))
    record = next(each for each in records(track.measure(unit, outputs[unit])) if each.metric == "ece")
    assert (record.value, record.status) == (None, "undefined")
    assert {row.status for row in summary(track, outputs) if row.metric == "ece"} == {"undefined"}


def test_all_methods_share_the_draws(protocol: LoadedBenchmark) -> None:
    """A method and its increasing transform tie in every replicate: the resamples and seeds are the same."""
    track, outputs = answered(protocol, 1.0)
    other = {unit: {"confidence": np.exp(out["confidence"])} for unit, out in outputs.items()}
    for study in ("iid", "shift", "both"):
        one, two = (replicates(track, answers, study, "augrc") for answers in (outputs, other))
        np.testing.assert_array_equal(one, two)


def test_intervals_cover_the_spread_of_new_samples(protocol: LoadedBenchmark) -> None:
    """Replicates of one study spread as the standard error of AUGRC over fresh samples of one model does."""
    track, outputs = answered(protocol, 1.5)
    single = {unit: out for unit, out in outputs.items() if (unit.model, unit.study) == ("one", "shift")}
    spread = replicates(track, single, "shift", "augrc").std()
    rng = np.random.default_rng(1)
    rate = wrong(protocol, "one", "shift").mean()
    fresh = []
    for _ in range(400):
        truth = (rng.uniform(size=300) < rate).astype(float)
        fresh.append(augrc(rng.normal(size=300) - 1.5 * truth, truth))
    assert spread == pytest.approx(np.std(fresh), rel=0.25)


def test_seeds_are_resampled_too(protocol: LoadedBenchmark) -> None:
    """Between seeds that differ a lot the interval is wide, however many samples there are."""
    track, outputs = answered(protocol, 1.0)
    units = [unit for unit in outputs if unit.study == "iid"]
    truth = {unit: wrong(protocol, unit.model, "iid") for unit in units}
    answers: dict[Unit, Answers] = {
        unit: {"confidence": (sign * truth[unit] + 1e-3 * np.arange(300)).astype(np.float32)}
        for unit, sign in zip(units, (-10, 10), strict=True)
    }
    row = next(row for row in summary(track, answers) if (row.study, row.metric) == ("iid", "augrc"))
    best, worst = (augrc(answers[unit]["confidence"], truth[unit]) for unit in units)
    assert row.low == pytest.approx(best, abs=0.02)
    assert row.high == pytest.approx(worst, abs=0.03)


def test_a_study_without_all_its_seeds_is_incomplete(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    lacking = dict(list(outputs.items())[1:])
    lost = next(iter(outputs)).study
    rows = {(row.study, row.metric): row for row in summary(track, lacking)}
    assert (rows[lost, "augrc"].value, rows[lost, "augrc"].status) == (None, "incomplete")
    assert (rows["both", "augrc"].value, rows["both", "augrc"].status) == (None, "incomplete")
    other = next(study.id for study in protocol.benchmark.studies if study.id != lost)
    assert rows[other, "augrc"].status == "ok"


def test_detection_is_undefined_where_nothing_fails(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    unit = next(iter(outputs))
    judged = track.judge(unit, outputs[unit])
    calm = dataclasses.replace(judged, residual=0 * judged.residual)
    for name in ("failure_auroc", "fpr_at_tpr", "failure_ap"):
        assert np.isnan(metric_value(METRICS[name], calm))
    assert metric_value(METRICS["augrc"], calm) == 0.0
    scores = confidence_scores(["failure_auroc", "augrc"], calm, track.benchmark.bootstrap, unit.study)
    assert [record.status for record in records(Measurement(scores))] == ["undefined", "ok"]


def test_a_group_with_a_missing_study_has_no_score(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    partial = {unit: out for unit, out in outputs.items() if unit.study == "iid"}
    rows = {(row.study, row.metric): row for row in summary(track, partial)}
    assert rows["iid", "augrc"].value is not None
    assert rows["shift", "augrc"].status == "incomplete"
    assert rows["both", "augrc"].status == "incomplete"


def test_the_order_of_units_changes_nothing(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    assert summary(track, dict(reversed(outputs.items()))) == summary(track, outputs)


def test_stored_answers_that_do_not_fit_are_refused(protocol: LoadedBenchmark) -> None:
    from harness.storage import IntegrityError

    track, outputs = answered(protocol, 1.0)
    unit = next(iter(outputs))
    with pytest.raises(IntegrityError, match="shape"):
        track.judge(unit, {"confidence": outputs[unit]["confidence"][:-1]})


def test_a_limited_unit_is_judged_on_its_own_samples(protocol: LoadedBenchmark) -> None:
    track, outputs = answered(protocol, 1.0)
    unit = dataclasses.replace(next(iter(outputs)), limit=30)
    rows = np.arange(30) * 10
    judged = track.judge(unit, {"confidence": outputs[next(iter(outputs))]["confidence"][rows]})
    np.testing.assert_array_equal(judged.residual, wrong(protocol, unit.model, unit.study)[rows])


# many samples -------------------------------------------------------------------------------------


def judged(samples: int) -> JudgedConfidence:
    rng = np.random.default_rng(0)
    keep = rng.uniform(size=samples) < 0.9
    count = int(keep.sum())
    residual = (rng.uniform(size=count) < 0.2).astype(float)
    return JudgedConfidence(
        (rng.normal(size=count) - residual).round(2),
        residual,
        rng.integers(4, size=count),
        keep,
        np.arange(samples) * 2 // samples,
    )


def test_resamples_that_are_drawn_piece_by_piece_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("failure_rate", "augrc", "aurc", "failure_auroc", "balanced_augrc", "ece")
    whole = confidence_scores(names, judged(700), Bootstrap(replicates=60), "study")
    monkeypatch.setattr(scoring, "_MOST_KEPT", 5000)
    monkeypatch.setattr(scoring, "_PIECE", 7000)
    monkeypatch.setattr(resampling, "_COUNTS_AT_ONCE", 7000)
    monkeypatch.setattr(resampling, "_LEAST_AT_ONCE", 1)
    pieces = confidence_scores(names, judged(700), Bootstrap(replicates=60), "study")
    assert [len(each) for each in scoring._in_pieces(60, 1, (350, 350))] == [10] * 6
    assert [each.shape[1] for each in scoring._in_pieces_by_sample(60, 1, (350, 350))] == [10] * 6
    for name in names:
        np.testing.assert_array_equal(pieces[name].draws, whole[name].draws)


def test_memory_does_not_grow_with_the_resamples() -> None:
    """The counts of 200 resamples alone would take 96 MB here."""
    sample = judged(120_000)
    confidence_scores(["augrc"], judged(50), Bootstrap(replicates=20), "study")  # imports
    tracemalloc.start()
    confidence_scores(["augrc"], sample, Bootstrap(replicates=200), "study")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6

"""Scores of campaigns: by hand, by brute force, and for whatever a stored file may hold."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from harness.metrics.budget_curve import foreground_efficiency
from harness.metrics.facts import metric_facts
from harness.statistics import bootstrap_weights
from harness.storage import IntegrityError, content_id
from harness.tracks.query.judging import judge
from harness.tracks.query.scoring import SHARED, metric_versions
from harness.tracks.summary import records
from tests.tracks.query.outcomes import (
    LOOPS,
    QUERY,
    START,
    benchmark,
    images,
    random_counts,
    study,
    track_of,
    unit,
    volumes,
)
from tests.tracks.support import replicates, summary

TARGETS = np.repeat([0, 1, 2], [50, 30, 10])


def scored(spec, outputs, targets=None, limit=None):
    """Metrics of one campaign by name."""
    found = track_of(spec, targets).measure(unit("low", 1, limit), outputs)
    return {record.metric: record.value for record in records(found)}


def predictions(rng, share, targets=TARGETS):
    """Of every loop's predictions (loops, n), about this share is right."""
    wrong = rng.random((len(share), len(targets))) > np.asarray(share)[:, None]
    return np.where(wrong, (targets + 1) % 3, targets)


def classify(performance="accuracy", **more):
    return benchmark([study("low", volumes=False)], performance=performance, **more)


@pytest.mark.parametrize("right", [0, 45, 90])
def test_aubc_of_a_constant_curve_is_its_value(right):
    spec = classify()
    constant = np.tile(np.where(np.arange(90) < right, TARGETS, (TARGETS + 1) % 3), (LOOPS, 1))
    found = scored(spec, images(constant), TARGETS)
    assert found["aubc"] == pytest.approx(right / 90)
    assert found["final_performance"] == found["start_performance"] == pytest.approx(right / 90)
    assert found["annotated_images"] == START + QUERY * (LOOPS - 1)


def test_a_curve_by_hand():
    """Accuracies 0, 1/2, 1: areas (0 + 1/2)/2 and (1/2 + 1)/2, whose mean is 1/2."""
    targets = np.array([0, 1])
    spec = benchmark([study("low", volumes=False, loops=3)], performance="accuracy")
    outputs = images([[1, 0], [0, 0], [0, 1]])
    found = scored(spec, outputs, targets)
    assert found == {
        "aubc": 0.5,
        "final_performance": 1.0,
        "start_performance": 0.0,
        "annotated_images": START + 2 * QUERY,
    }


def test_balanced_accuracy_by_hand():
    """Recalls 1, 0 and 1/2 have the mean 1/2, whatever the sizes of the classes."""
    targets = np.array([0, 0, 0, 0, 1, 2, 2])
    spec = benchmark([study("low", volumes=False, loops=2)], performance="balanced-accuracy")
    outputs = images(np.tile([0, 0, 0, 0, 2, 2, 0], (2, 1)))
    assert scored(spec, outputs, targets)["aubc"] == pytest.approx(0.5)


def test_dice_by_hand():
    """Class 1: Dice 2·3/(2·3+1+1) = 3/4 in case one, absent in case two. Class 2: 1 and 0. Mean (3/4 + 1/2)/2."""
    case_one = [[0, 0, 0, 0], [3, 1, 1, 5], [4, 0, 0, 6]]
    case_two = [[0, 0, 0, 0], [0, 0, 0, 10], [0, 2, 3, 5]]
    spec = benchmark([study("low", loops=2)])
    outputs = volumes(np.array([[case_one, case_two]] * 2), share=[0.1, 0.3])
    found = scored(spec, outputs)
    assert found["aubc"] == pytest.approx(0.625)
    assert found["annotated_foreground"] == pytest.approx(0.3)
    assert found["foreground_efficiency"] is None, "the study has no full performance"


def repeated(counts, weights):
    """Mean Dice of cases that occur so often, by plain loops; absent classes left out."""
    of_class = []
    for c in range(1, counts.shape[1]):
        cases = [case for case, weight in zip(counts[:, c], weights, strict=True) for _ in range(weight)]
        found = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn, _ in cases if tp + fp + fn]
        of_class += [np.mean(found)] if found else []
    return np.mean(of_class) if of_class else np.nan


def test_replicates_of_dice_equal_a_plain_loop():
    counts = random_counts(np.random.default_rng(0), 0.5, absent=0.6)
    spec = benchmark([study("low")])
    judged = judge(track_of(spec).settings["low"], spec, volumes(counts))
    weights = bootstrap_weights(len(counts[0]), 25, 7)
    expected = [[repeated(counts[k], row) for k in range(LOOPS)] for row in weights]
    np.testing.assert_allclose(judged.replicates(weights), expected, rtol=1e-12)


@pytest.mark.parametrize("performance", ["accuracy", "balanced-accuracy"])
def test_replicates_of_accuracy_equal_a_plain_loop(performance):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    score = accuracy_score if performance == "accuracy" else balanced_accuracy_score
    spec = classify(performance)
    answers = predictions(np.random.default_rng(1), [0.4, 0.6, 0.7, 0.9])
    judged = judge(track_of(spec, TARGETS).settings["low"], spec, images(answers))
    weights = bootstrap_weights(len(TARGETS), 25, 7)
    expected = [
        [score(np.repeat(TARGETS, row), np.repeat(each, row)) for each in answers.astype(int)] for row in weights
    ]
    np.testing.assert_allclose(judged.replicates(weights), expected, rtol=1e-12)
    np.testing.assert_allclose(judged.performance, [score(TARGETS, each) for each in answers], rtol=1e-12)


def campaigns(spec, seed=0, quality=0.5, share=None):
    """Outputs of every unit: the labels of a study's cases are the same for all its seeds."""
    answered = {}
    for k, each in enumerate(spec.studies):
        for s in spec.seeds:
            rng = np.random.default_rng([k, 9])
            reference = random_counts(rng, quality)
            noise = np.random.default_rng([seed, k, s]).integers(0, 20, size=reference.shape[:3])
            moved = np.minimum(noise, reference[..., 0])
            reference[..., 0] -= moved
            reference[..., 2] += moved
            answered[unit(each.id, s)] = volumes(reference, share)
    return answered


def test_scores_over_seeds_equal_a_plain_loop():
    spec = benchmark([study("low")], replicates=30)
    answered = campaigns(spec)
    drawn = {name: replicates(track_of(spec), answered, "low", name) for name in SHARED}
    cases = next(iter(answered.values()))["evaluation.counts"].shape[1]
    weights = bootstrap_weights(cases, 30, int(content_id([3, "volumes"])[:8], 16))
    seeds = np.random.default_rng([3, 3]).integers(3, size=(30, 3))
    counts = [answered[unit("low", s)]["evaluation.counts"] for s in spec.seeds]
    for b in range(30):
        curves = [[repeated(counts[s][k], weights[b]) for k in range(LOOPS)] for s in seeds[b]]
        areas = [np.mean([(c[i] + c[i + 1]) / 2 for i in range(LOOPS - 1)]) for c in curves]
        assert drawn["aubc"][b] == pytest.approx(np.mean(areas), abs=1e-12)
        assert drawn["final_performance"][b] == pytest.approx(np.mean([c[-1] for c in curves]))
        assert drawn["start_performance"][b] == pytest.approx(np.mean([c[0] for c in curves]))


def test_the_order_of_units_changes_nothing():
    spec = benchmark([study("low", "all", full_performance=0.95), study("high", "all", full_performance=0.95)])
    answered, track = campaigns(spec), track_of(spec)
    assert summary(track, dict(reversed(answered.items()))) == summary(track, answered)


def test_groups_are_means_of_their_studies_and_efficiency_is_of_single_studies():
    spec = benchmark([study("low", "all", full_performance=0.95), study("high", "all"), study("alone")])
    rows = {(row.study, row.metric): row for row in summary(track_of(spec), campaigns(spec))}
    for metric in ("aubc", "final_performance", "start_performance"):
        mean = (rows["low", metric].value + rows["high", metric].value) / 2
        assert rows["all", metric].value == pytest.approx(mean)
        assert rows["all", metric].low < mean < rows["all", metric].high
    assert ("all", "foreground_efficiency") not in rows
    assert rows["high", "foreground_efficiency"].status == "undefined"
    assert rows["low", "aubc"].part_of == "all"
    assert rows["alone", "aubc"].part_of is None
    assert rows["all", "aubc"].n == 2 * rows["low", "aubc"].n == 2 * 3 * 8
    assert {row.metric for row in rows.values()} == set(metric_versions(spec))


def test_foreground_efficiency_of_an_exact_curve_is_its_rate():
    """Dice c - a exp(-b (x - x0)) exactly, up to the rounding of counts."""
    full, gap, rate = 0.9, 0.5, 12.0
    share = np.array([0.01, 0.06, 0.12, 0.2])
    dice = full - gap * np.exp(-rate * (share - share[0]))
    right = np.round(1e7 * dice).astype(np.int64)
    wrong = 10**7 - right
    counts = np.stack([right, wrong, wrong, np.full(LOOPS, 10**8)], axis=-1)[:, None, None]
    counts = np.tile(counts, (1, 5, 2, 1))
    spec = benchmark([study("low", full_performance=full)])
    answered = {unit("low", s): volumes(counts, share) for s in spec.seeds}
    row = next(r for r in summary(track_of(spec), answered) if r.metric == "foreground_efficiency")
    assert row.value == pytest.approx(rate, rel=1e-4)
    assert row.low == pytest.approx(rate, rel=1e-4), "seeds that are equal leave no doubt"
    assert scored(spec, volumes(counts, share))["foreground_efficiency"] == pytest.approx(rate, rel=1e-4)


def test_efficiency_among_others_is_that_of_a_method_alone():
    """The common start is all that methods share in the fit."""
    spec = benchmark([study("low", full_performance=0.98)])
    own, other = campaigns(spec), campaigns(spec, seed=5, share=[0.01, 0.02, 0.03, 0.04])
    curves = {}
    for name, answered in (("own", own), ("other", other)):
        for key, outputs in answered.items():  # everybody starts where the first method does
            outputs["evaluation.counts"][0] = own[key]["evaluation.counts"][0]
        judged = [judge(track_of(spec).settings["low"], spec, out) for out in answered.values()]
        curves[name] = (
            np.stack([j.foreground for j in judged]),
            np.stack([j.performance for j in judged]),
        )
    row = next(r for r in summary(track_of(spec), own) if r.metric == "foreground_efficiency")
    assert row.value == pytest.approx(foreground_efficiency(curves, 0.98)["own"], rel=1e-9)


@pytest.mark.parametrize("full", [0.3, None])
def test_efficiency_without_a_gap_is_undefined(full):
    spec = benchmark([study("low", **({"full_performance": full} if full else {}))])
    rows = summary(track_of(spec), campaigns(spec, quality=0.7))
    row = next(row for row in rows if row.metric == "foreground_efficiency")
    assert (row.status, row.value) == ("undefined", None)


def test_a_single_seed_has_an_efficiency_without_an_interval():
    spec = benchmark([study("low", full_performance=0.95)], seeds=(1,))
    row = next(r for r in summary(track_of(spec), campaigns(spec)) if r.metric == "foreground_efficiency")
    assert row.value is not None
    assert row.low is row.high is None


def test_a_missing_seed_makes_a_study_incomplete():
    spec = benchmark([study("low", "all", full_performance=0.95), study("high", "all")])
    answered = campaigns(spec)
    del answered[unit("low", 2)]
    rows = {(r.study, r.metric): r for r in summary(track_of(spec), answered)}
    for metric in metric_versions(spec):
        assert rows["low", metric].status == "incomplete"
    assert rows["all", "aubc"].status == "incomplete"
    assert rows["high", "aubc"].status == "ok"
    assert rows["low", "aubc"].seeds == 2


def test_a_strategy_for_another_task_has_no_rows():
    spec = benchmark([study("low")])
    assert summary(track_of(spec), {}, [unit("low", s) for s in spec.seeds]) == ()


def test_a_class_that_is_in_no_case_is_undefined():
    counts = random_counts(np.random.default_rng(0), 0.5)
    counts[:, :, 2, :3] = 0
    spec = benchmark([study("low", full_performance=0.9)])
    found = scored(spec, volumes(counts))
    assert [found[name] for name in ("aubc", "final_performance", "foreground_efficiency")] == [None] * 3
    rows = summary(track_of(spec), {unit("low", s): volumes(counts) for s in spec.seeds})
    assert {r.metric: r.status for r in rows}["aubc"] == "undefined"


def test_a_class_that_is_rare_leaves_every_replicate_defined():
    counts = random_counts(np.random.default_rng(0), 0.5)
    counts[:, 1:, 2, :3] = 0
    spec = benchmark([study("low")], replicates=200)
    answered = {unit("low", s): volumes(counts) for s in spec.seeds}
    assert np.isfinite(replicates(track_of(spec), answered, "low", "aubc")).all()


def test_a_limited_campaign_is_scored_over_the_loops_it_has():
    spec = classify()
    track = track_of(spec, TARGETS)
    outputs = images(predictions(np.random.default_rng(0), [0.5, 0.9]))
    accuracies = (outputs["evaluation.predictions"] == TARGETS).mean(axis=1)
    assert scored(spec, outputs, TARGETS, limit=1)["aubc"] == pytest.approx(accuracies.mean())
    limited = {unit("low", s, limit=1): outputs for s in spec.seeds}
    row = summary(track, limited)[0]
    assert row.value == pytest.approx(accuracies.mean())
    with pytest.raises(IntegrityError, match="have 2 loops, not 4"):
        summary(track, {unit("low", s): outputs for s in spec.seeds})


def test_more_right_answers_never_lower_a_score():
    spec = classify("balanced-accuracy")
    rng = np.random.default_rng(4)
    worse = predictions(rng, [0.3, 0.5, 0.5, 0.6])
    better = np.where(rng.random(worse.shape) < 0.3, TARGETS, worse)
    before, after = (scored(spec, images(each), TARGETS) for each in (worse, better))
    assert all(after[m] >= before[m] for m in ("aubc", "final_performance", "start_performance"))


def damaged(change):
    outputs = volumes(random_counts(np.random.default_rng(0), 0.5))
    change(outputs)
    return outputs


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda o: o.pop("evaluation.counts"), "lack evaluation.counts"),
        (lambda o: o.pop("effort.pool_voxels"), "lack effort.pool_voxels"),
        (lambda o: o.pop("picks.2"), "lack picks.2"),
        (lambda o: o.update({"picks.2": np.zeros((QUERY + 1, 7), dtype=int)}), "query 6 annotations in loop 2"),
        (lambda o: o.update({"picks.0": np.zeros((START - 1, 7), dtype=int)}), "protocol says 6"),
        (lambda o: o.update({"evaluation.counts": o["evaluation.counts"][..., :3]}), "counts of shape"),
        (lambda o: o.update({"evaluation.counts": -o["evaluation.counts"]}), "negative"),
        (lambda o: o.update({"evaluation.counts": o["evaluation.counts"].astype(float)}), "float64"),
        (lambda o: o.update({"evaluation.counts": o["evaluation.counts"][:1]}), "have 1 loops"),
        (lambda o: o["evaluation.counts"].__setitem__((2, 0, 1, 2), 9999), "different true labels"),
        (lambda o: o["effort.voxels"].__setitem__((3, 1), 100_001), "other voxels than the pool"),
        (lambda o: o["effort.pool_voxels"].__setitem__((slice(None), slice(1, None)), 0), "other voxels"),
        (lambda o: o.update({"effort.images": np.zeros(2, dtype=int)}), "effort.images as int64 of shape"),
        (lambda o: o.update({"effort.images": np.int64(3)}), "effort.images"),
    ],
)
def test_damaged_outputs_are_refused(change, sentence):
    spec = benchmark([study("low")])
    with pytest.raises(IntegrityError, match=sentence):
        scored(spec, damaged(change))


@pytest.mark.parametrize("shape", [(LOOPS, 89), (LOOPS, 90, 1), (LOOPS + 1, 90), (1, 90)])
def test_predictions_of_another_shape_are_refused(shape):
    spec = classify()
    outputs = {**images(np.zeros((LOOPS, 90))), "evaluation.predictions": np.zeros(shape, dtype=np.uint8)}
    with pytest.raises(IntegrityError):
        scored(spec, outputs, TARGETS)


def test_every_metric_has_its_facts():
    for performance, volumetric in (("dice", True), ("accuracy", False)):
        spec = benchmark([study("low", volumes=volumetric)], performance=performance)
        names = set(metric_versions(spec))
        assert names <= set(metric_facts())
        assert {"aubc", "final_performance", "start_performance"} <= names


def test_a_large_benchmark():
    """5 loops, 4 seeds, 75 cases and 16 classes with 500 replicates."""
    spec = benchmark([study("low", loops=5)], seeds=(1, 2, 3, 4), replicates=500)
    counts = random_counts(np.random.default_rng(0), 0.5, cases=75, classes=16, loops=5)
    answered = {unit("low", s): volumes(counts) for s in spec.seeds}
    assert summary(track_of(spec), answered)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1), cases=st.integers(2, 7), classes=st.integers(2, 4), absent=st.floats(0, 0.9)
)
def test_aubc_lies_between_its_loops_and_cases_have_no_order(seed, cases, classes, absent):
    rng = np.random.default_rng(seed)
    counts = random_counts(rng, 0.3, cases=cases, classes=classes, absent=absent)
    spec = benchmark([study("low")], replicates=20)
    setting = track_of(spec).settings["low"]
    judged = judge(setting, spec, volumes(counts))
    shuffled = judge(setting, spec, volumes(counts[:, rng.permutation(cases)]))
    np.testing.assert_allclose(judged.performance, shuffled.performance, rtol=1e-12)
    area = scored(spec, volumes(counts))["aubc"]
    assert judged.performance.min() - 1e-12 <= area <= judged.performance.max() + 1e-12
    whole = np.ones((1, cases), dtype=np.int32)
    np.testing.assert_allclose(judged.replicates(whole)[0], judged.performance, rtol=1e-12)

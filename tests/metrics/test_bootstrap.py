from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import metrics
from harness.metrics import METRICS, augrc, bootstrap_weights, weighted_replicates

from .references import BINARY, FRACTION, LEVELS

CASES = [
    *[(name, {}) for name in METRICS if name not in ("risk_at_coverage", "coverage_at_risk")],
    *[("risk_at_coverage", {"coverage": target}) for target in (0.0, 0.5, 1.0)],
    *[("coverage_at_risk", {"risk": target}) for target in (0.0, 0.3141592)],
    ("partial_augrc", {"low": 0.2, "high": 0.7}),
    ("failure_ap", {"positive": "success"}),
    ("fpr_at_tpr", {"tpr": 0.5}),
]
REAL = {name for name, info in METRICS.items() if "binary residual" not in info.needs}
PROBABILITY = {name for name, info in METRICS.items() if "probability confidence" in info.needs}


def agrees_with_repetition(name, options, confidence, residual, labels, weights):
    """The metric on every weighted copy equals the metric on the samples repeated by their weights."""
    function = METRICS[name].function
    if "labels" in METRICS[name].needs:
        options = {**options, "labels": labels}
    got = weighted_replicates(confidence, residual, weights, function, **options)
    for value, row in zip(got, weights, strict=True):
        chosen = np.repeat(np.arange(len(row)), row)
        if not len(chosen):
            assert np.isnan(value)
            continue
        repeated = {**options, "labels": labels[chosen]} if "labels" in options else options
        expected = function(confidence[chosen], residual[chosen], **repeated)
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@st.composite
def weighted_samples(draw, residuals, scores):
    n = draw(st.integers(1, 10))
    column = st.lists(st.integers(0, 3), min_size=n, max_size=n)
    return (
        np.array(draw(st.lists(scores, min_size=n, max_size=n))),
        np.array(draw(st.lists(residuals, min_size=n, max_size=n))),
        np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))),
        np.array(draw(st.lists(column, min_size=1, max_size=4))),
    )


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=40)
@given(st.data())
def test_replicates_equal_repeated_data(name, options, data):
    scores = st.floats(0, 1) if data.draw(st.booleans()) else LEVELS
    if name in PROBABILITY:
        scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    agrees_with_repetition(name, options, *data.draw(weighted_samples(BINARY, scores)))


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[0] in REAL])
@settings(max_examples=40)
@given(st.data())
def test_replicates_equal_repeated_data_with_real_residuals(name, options, data):
    agrees_with_repetition(name, options, *data.draw(weighted_samples(FRACTION, LEVELS)))


@pytest.mark.parametrize("levels", [7, 10**6])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_replicates_of_a_larger_sample(name, options, levels):
    rng = np.random.default_rng(levels)
    confidence = rng.integers(0, levels, 300) / levels
    residual = (rng.random(300) < 0.3).astype(float)
    weights = bootstrap_weights(300, 6, seed=1)
    agrees_with_repetition(name, options, confidence, residual, rng.integers(0, 5, 300), weights)


@pytest.mark.parametrize("name", METRICS)
def test_a_replicate_is_the_same_alone_and_among_others(name):
    rng = np.random.default_rng(3)
    n, options = 9000, {"risk_at_coverage": {"coverage": 0.8}, "coverage_at_risk": {"risk": 0.1}}.get(name, {})
    if "labels" in METRICS[name].needs:
        options = {"labels": rng.integers(0, 3, n)}
    confidence = rng.random(n)
    residual = rng.random(n) if name in REAL else (rng.random(n) < 0.2).astype(float)
    weights, function = bootstrap_weights(n, 20, seed=2), METRICS[name].function
    together = weighted_replicates(confidence, residual, weights, function, **options)
    alone = [weighted_replicates(confidence, residual, w[None], function, **options)[0] for w in weights]
    np.testing.assert_array_equal(together, alone)


def test_a_replicate_without_samples_is_undefined():
    for name, options in CASES:
        extra = {"labels": [0, 1]} if "labels" in METRICS[name].needs else {}
        got = weighted_replicates([0.2, 0.7], [1, 0], [[0, 0]], METRICS[name].function, **options, **extra)
        assert np.isnan(got).all(), name


def test_undefined_replicates_are_nan():
    weights = [[1, 1], [0, 2], [2, 0]]
    got = weighted_replicates([0.2, 0.7], [1, 0], weights, metrics.failure_auroc)
    np.testing.assert_array_equal(got, [1.0, np.nan, np.nan])


def test_a_metric_from_elsewhere():
    got = weighted_replicates([1, 2], [0, 1], [[1, 3]], lambda c, r: float(np.sum(c * r)))
    np.testing.assert_array_equal(got, [6.0])


def test_class_probabilities_are_resampled_by_row():
    probability, labels = np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0, 0])
    got = weighted_replicates(probability, labels, [[1, 1], [2, 0]], metrics.brier)
    np.testing.assert_allclose(got, [(0.02 + 0.98) / 2, 0.02])


@pytest.mark.parametrize(
    ("weights", "cause"),
    [
        ([[1, -1]], "whole numbers >= 0"),
        ([[1, 0.5]], "whole numbers >= 0"),
        ([[1, np.nan]], "weights must be finite"),
        ([1, 1], "weights must have shape"),
        ([[1, 1, 1]], "weights must have shape"),
        (np.empty((0, 2)), "weights is empty"),
    ],
)
def test_bad_weights(weights, cause):
    with pytest.raises(ValueError, match=cause):
        weighted_replicates([0.2, 0.7], [1, 0], weights, augrc)


def test_missing_labels():
    with pytest.raises(ValueError, match="labels are missing"):
        weighted_replicates([0.2, 0.7], [1, 0], [[1, 1]], metrics.balanced_augrc)


def test_weights_do_not_depend_on_the_number_of_replicates():
    many = bootstrap_weights(1000, 500, seed=4)
    np.testing.assert_array_equal(many[:100], bootstrap_weights(1000, 100, seed=4))


def test_every_resample_has_the_size_of_the_sample():
    weights = bootstrap_weights(37, 50, seed=0)
    assert weights.shape == (50, 37)
    assert (weights.sum(axis=1) == 37).all()
    assert (weights >= 0).all()


def test_strata_keep_their_size():
    strata = np.array([3, -1, 3, 3, -1, 8] * 10)
    weights = bootstrap_weights(60, 200, seed=0, strata=strata)
    for stratum in (3, -1, 8):
        assert (weights[:, strata == stratum].sum(axis=1) == (strata == stratum).sum()).all()
    assert len(np.unique(weights, axis=0)) == 200


def test_one_stratum_is_no_stratum():
    np.testing.assert_array_equal(bootstrap_weights(20, 9, 5), bootstrap_weights(20, 9, 5, np.full(20, 4)))


def test_seeds_differ():
    assert (bootstrap_weights(50, 3, seed=0) != bootstrap_weights(50, 3, seed=1)).any(axis=1).all()


def test_draws_are_uniform():
    # Counts of n draws with replacement: mean 1, variance 1 - 1/n, equal over the samples.
    weights = bootstrap_weights(10, 20_000, seed=6)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=5 * np.sqrt(0.9 / 20_000))
    np.testing.assert_allclose(weights.var(axis=0), 0.9, rtol=0.06)


@pytest.mark.parametrize(("n", "replicates"), [(0, 5), (-1, 5), (5, 0)])
def test_nothing_to_draw(n, replicates):
    with pytest.raises(ValueError, match="needs samples and replicates"):
        bootstrap_weights(n, replicates, seed=0)


def test_strata_of_another_length():
    with pytest.raises(ValueError, match="strata has 2 samples"):
        bootstrap_weights(3, 5, seed=0, strata=[0, 1])


def test_a_table_of_metrics_equals_each_metric_by_itself():
    rng = np.random.default_rng(8)
    confidence = np.round(rng.uniform(size=300), 2)
    residual = (rng.uniform(size=300) > confidence).astype(float)
    labels = rng.integers(3, size=300)
    weights = metrics.bootstrap_weights(300, 40, seed=1)
    weights[:, labels == 0] *= rng.integers(2, size=(40, 1))
    names = [
        name
        for name, info in metrics.METRICS.items()
        if not info.function.__name__.endswith(("_at_risk", "_at_coverage"))
    ]
    table = metrics.replicate_table(
        confidence, residual, weights, {name: metrics.METRICS[name].function for name in names}, labels=labels
    )
    for name in names:
        info = metrics.METRICS[name]
        options = {"labels": labels} if "labels" in info.needs else {}
        alone = metrics.weighted_replicates(confidence, residual, weights, info.function, **options)
        np.testing.assert_array_equal(table[name], alone)

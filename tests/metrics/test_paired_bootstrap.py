from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import rankdata

from harness import metrics
from harness.metrics import augrc, bootstrap_weights, failure_auroc, paired_bootstrap, weighted_replicates


@pytest.fixture
def methods():
    rng = np.random.default_rng(0)
    residual = (rng.random(200) < 0.25).astype(float)
    return {name: rng.random(200) - gap * residual for name, gap in (("a", 0.6), ("b", 0.2), ("c", 0))}, residual


def test_all_methods_see_the_same_resamples(methods):
    confidences, residual = methods
    result = paired_bootstrap(confidences, residual, augrc, n=30, seed=5)
    weights = bootstrap_weights(200, 30, seed=5)
    assert result.names == ("a", "b", "c")
    for column, (name, confidence) in enumerate(confidences.items()):
        assert result.values[column] == augrc(confidence, residual), name
        expected = weighted_replicates(confidence, residual, weights, augrc)
        np.testing.assert_array_equal(result.replicates[:, column], expected)


def test_intervals_are_percentiles(methods):
    result = paired_bootstrap(*methods, augrc, n=80)
    np.testing.assert_allclose(result.low, np.percentile(result.replicates, 2.5, axis=0))
    np.testing.assert_allclose(result.high, np.percentile(result.replicates, 97.5, axis=0))


@pytest.mark.parametrize(("metric", "sign"), [(augrc, 1), (failure_auroc, -1)])
def test_rank_one_is_best(methods, metric, sign):
    result = paired_bootstrap(*methods, metric, n=40)
    np.testing.assert_array_equal(result.ranks, rankdata(sign * result.replicates, axis=1))


def test_equal_methods_share_their_mean_rank(methods):
    confidences, residual = methods
    twins = {"a": confidences["a"], "twin": confidences["a"] * 2, "c": confidences["c"]}
    result = paired_bootstrap(twins, residual, augrc, n=20)
    np.testing.assert_array_equal(result.ranks[:, 0], result.ranks[:, 1])
    np.testing.assert_array_equal(result.ranks.sum(axis=1), np.full(20, 6.0))


def test_undefined_replicates_have_no_rank():
    # With one failure in three samples, about (2/3)^3 of all resamples miss it.
    result = paired_bootstrap({"a": [1, 2, 3], "b": [3, 2, 1]}, [1, 0, 0], failure_auroc, n=60)
    undefined = np.isnan(result.replicates)
    assert undefined.any()
    assert not undefined.all()
    np.testing.assert_array_equal(np.isnan(result.ranks), undefined)
    assert np.isfinite(result.low).all()


def test_never_defined():
    result = paired_bootstrap({"a": [1, 2]}, [0, 0], failure_auroc, n=5)
    assert np.isnan([result.values, result.low, result.high]).all()


def test_an_additional_method_changes_no_other(methods):
    confidences, residual = methods
    alone = paired_bootstrap({"a": confidences["a"]}, residual, augrc, n=25)
    together = paired_bootstrap(confidences, residual, augrc, n=25)
    np.testing.assert_array_equal(alone.replicates[:, 0], together.replicates[:, 0])


def test_chunks_change_no_number(methods, monkeypatch):
    whole = paired_bootstrap(*methods, augrc, n=25)
    monkeypatch.setattr("harness.metrics.bootstrap._CHUNK", 200 * 3)
    chunked = paired_bootstrap(*methods, augrc, n=25)
    np.testing.assert_array_equal(whole.replicates, chunked.replicates)


def test_memory_of_a_board_cell_is_bounded():
    """13 confidence scores on 10,000 samples: their replicates of weights at once would be more."""
    rng = np.random.default_rng(0)
    residual = rng.random(10**4) < 0.1
    confidences = {f"csf{i}": rng.random(10**4) - 0.3 * residual for i in range(13)}
    tracemalloc.start()
    paired_bootstrap(confidences, residual, augrc)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6


def test_labels_are_resampled_along(methods):
    confidences, residual = methods
    labels = np.arange(200) % 3
    result = paired_bootstrap(confidences, residual, metrics.balanced_augrc, n=10, labels=labels)
    drawn = np.repeat(np.arange(200), bootstrap_weights(200, 10, seed=0)[4])
    expected = metrics.balanced_augrc(confidences["b"][drawn], residual[drawn], labels[drawn])
    assert result.replicates[4, 1] == pytest.approx(expected, abs=1e-14)


def test_strata_fix_the_error_rate(methods):
    confidences, residual = methods
    result = paired_bootstrap(
        confidences, residual, metrics.risk_at_coverage, n=20, strata=residual.astype(int), coverage=1.0
    )
    np.testing.assert_allclose(result.replicates, residual.mean())


def test_intervals_cover_the_population_value():
    # Confidence independent of a failure rate of 0.2: the population AUGRC is 0.2 / 2.
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(200):
        residual = (rng.random(150) < 0.2).astype(float)
        result = paired_bootstrap({"m": rng.random(150)}, residual, augrc, n=200, seed=trial)
        covered += result.low[0] <= 0.1 <= result.high[0]
    assert 0.88 <= covered / 200 <= 0.99


def test_no_methods():
    with pytest.raises(ValueError, match="there is no method"):
        paired_bootstrap({}, [0, 1], augrc)


def test_unknown_metric():
    with pytest.raises(ValueError, match="'<lambda>' is not in METRICS"):
        paired_bootstrap({"a": [1, 2]}, [0, 1], lambda c, r: 0.0)


def test_no_replicates():
    with pytest.raises(ValueError, match="needs samples and replicates"):
        paired_bootstrap({"a": [1, 2]}, [0, 1], augrc, n=0)


def test_a_method_of_another_length():
    with pytest.raises(ValueError, match="confidence has 3 samples"):
        paired_bootstrap({"a": [1, 2], "b": [1, 2, 3]}, [0, 1], augrc)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n", [300, 40_000])
def test_augrc_by_sample_is_that_of_every_resample_alone(n, tied):
    rng = np.random.default_rng(n)
    residual = (rng.random(n) < 0.2).astype(float)
    confidence = rng.normal(size=n) - residual
    confidence = np.round(confidence, 1) if tied else confidence
    found = paired_bootstrap({"a": confidence, "b": -confidence}, residual, augrc, n=18, seed=5)
    counts = bootstrap_weights(n, 18, 5)
    for column, score in enumerate((confidence, -confidence)):
        repeated = [augrc(np.repeat(score, row), np.repeat(residual, row)) for row in counts]
        assert found.replicates[:, column].tolist() == repeated, "bit by bit: all sums are of whole numbers"

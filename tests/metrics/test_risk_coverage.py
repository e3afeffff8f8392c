from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import (
    augrc,
    aurc,
    coverage_at_risk,
    failure_auroc,
    partial_augrc,
    risk_at_coverage,
    risk_coverage_curve,
)

from . import references
from .references import FRACTION, samples


@given(samples(FRACTION))
def test_curve_equals_its_definition(sample):
    curve = risk_coverage_curve(*sample)
    threshold, coverage, generalized, selective = zip(*references.points(*sample), strict=True)
    np.testing.assert_array_equal(curve.thresholds, threshold)
    np.testing.assert_allclose(curve.coverage, [*coverage, 0.0], atol=1e-15)
    np.testing.assert_allclose(curve.generalized_risk, [*generalized, 0.0], atol=1e-15)
    np.testing.assert_allclose(curve.selective_risk, [*selective, selective[-1]], atol=1e-15)


@given(samples(FRACTION))
def test_areas_equal_their_definition(sample):
    assert augrc(*sample) == pytest.approx(references.augrc(*sample), abs=1e-13)
    assert aurc(*sample) == pytest.approx(references.aurc(*sample), abs=1e-13)


@given(samples(FRACTION), st.floats(0, 1), st.floats(0, 1))
def test_partial_augrc_equals_its_definition(sample, a, b):
    low, high = sorted((a, b))
    if low < high:
        expected = references.partial_augrc(*sample, low, high)
        assert partial_augrc(*sample, low, high) == pytest.approx(expected, abs=1e-13)


@given(samples(FRACTION), st.floats(0.01, 0.99))
def test_partial_augrc_adds_up_to_augrc(sample, cut):
    parts = partial_augrc(*sample, 0, cut) + partial_augrc(*sample, cut, 1)
    assert parts == pytest.approx(augrc(*sample), abs=1e-13)
    assert partial_augrc(*sample) == pytest.approx(augrc(*sample), abs=1e-13)


@given(samples(FRACTION), st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.8, 0.95, 1.0]))
def test_working_points_equal_their_definition(sample, target):
    assert risk_at_coverage(*sample, target) == pytest.approx(references.risk_at_coverage(*sample, target), abs=1e-15)


@given(samples(FRACTION), st.sampled_from([0.0, 0.1234567, 0.2718281, 0.5141592, 1.0]))
def test_coverage_at_risk_equals_its_definition(sample, risk):
    # Targets that are the mean of no few residuals, so that rounding does not decide.
    assert coverage_at_risk(*sample, risk) == references.coverage_at_risk(*sample, risk)


@given(samples(min_size=2))
def test_augrc_is_auroc_and_accuracy(sample):
    accuracy = 1 - np.mean(sample[1])
    if 0 < accuracy < 1:
        auroc = failure_auroc(*sample)
        expected = (1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
        assert augrc(*sample) == pytest.approx(expected, abs=1e-14)


@given(samples(FRACTION))
def test_bounds(sample):
    mean = np.mean(sample[1])
    assert mean**2 / 2 - 1e-14 <= augrc(*sample) <= 0.5
    assert 0 <= aurc(*sample) <= 1
    assert augrc(*sample) <= aurc(*sample) + 1e-14


@given(samples(FRACTION), st.randoms())
def test_order_of_samples_is_irrelevant(sample, random):
    shuffled = list(zip(*sample, strict=True))
    random.shuffle(shuffled)
    confidence, residual = zip(*shuffled, strict=True)
    assert augrc(confidence, residual) == pytest.approx(augrc(*sample), abs=1e-15)
    assert aurc(confidence, residual) == pytest.approx(aurc(*sample), abs=1e-15)


@given(samples(FRACTION))
def test_only_the_ranking_matters(sample):
    confidence, residual = sample
    rank = np.unique(np.array(confidence), return_inverse=True)[1]
    for transformed in (rank**3 - 5, np.exp2(rank), rank.astype(np.float32) / 3):
        assert augrc(transformed, residual) == augrc(confidence, residual)
        assert aurc(transformed, residual) == aurc(confidence, residual)


@given(samples(FRACTION, max_size=6))
def test_a_tie_scores_the_mean_over_all_orders(sample):
    confidence, residual = sample
    orders = [
        [confidence[i] for i in order] == sorted(confidence) and [residual[i] for i in order]
        for order in permutations(range(len(confidence)))
    ]
    strict = [augrc(range(len(confidence)), order) for order in orders if order]
    assert augrc(confidence, residual) == pytest.approx(np.mean(strict), abs=1e-14)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=30), st.data())
def test_swapping_neighbours_changes_augrc_by_one_over_n_squared(residual, data):
    i = data.draw(st.integers(0, len(residual) - 2))
    failure_first, success_first = list(residual), list(residual)
    failure_first[i : i + 2], success_first[i : i + 2] = [1, 0], [0, 1]
    confidence = range(len(residual))
    gain = augrc(confidence, success_first) - augrc(confidence, failure_first)
    assert gain == pytest.approx(1 / len(residual) ** 2, abs=1e-15)


@pytest.mark.parametrize(
    ("confidence", "residual", "expected_augrc", "expected_aurc"),
    [
        ([0.7], [0], 0, 0),
        ([0.7], [1], 1 / 2, 1),
        ([1, 2], [1, 0], 1 / 8, 1 / 8),
        ([1, 2], [0, 1], 3 / 8, 7 / 8),
        ([1, 1], [0, 1], 1 / 4, 1 / 2),
        (range(10), [1] * 10, 1 / 2, 1),
        ([3] * 1000, [1] * 500 + [0] * 500, 1 / 4, 1 / 2),
    ],
)
def test_values_by_hand(confidence, residual, expected_augrc, expected_aurc):
    assert augrc(confidence, residual) == expected_augrc
    assert aurc(confidence, residual) == expected_aurc


def test_no_failures_is_plus_zero():
    assert not np.signbit(augrc([1, 2], [0, 0]))
    assert not np.signbit(aurc([1, 2], [0, 0]))


def test_neighbouring_floats_do_not_tie():
    assert len(risk_coverage_curve([0.5, np.nextafter(0.5, 1)], [0, 1]).thresholds) == 2


def test_signed_zeros_tie():
    assert augrc([-0.0, 0.0], [1, 0]) == augrc([0.0, 0.0], [1, 0])


def test_single_precision_ties_as_single_precision():
    close = np.array([0.5, 0.5 + 1e-9])
    assert augrc(close.astype(np.float32), [0, 1]) == 1 / 4
    assert augrc(close, [0, 1]) == 3 / 8


def test_large_integers_keep_their_order():
    assert augrc([2**60, 2**60 + 1], [0, 1]) == 3 / 8


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32])
def test_residuals_of_any_real_dtype(dtype):
    assert augrc([1, 2, 3], np.array([1, 0, 1], dtype)) == augrc([1, 2, 3], [1.0, 0.0, 1.0])


def test_boolean_confidence():
    assert augrc([True, False, True], [0, 1, 1]) == augrc([1, 0, 1], [0, 1, 1])


def test_tensors():
    torch = pytest.importorskip("torch")
    confidence, residual = torch.tensor([0.1, 0.5, 0.5]), torch.tensor([True, False, True])
    assert augrc(confidence, residual) == augrc(confidence.numpy(), residual.numpy())


def test_inputs_stay_untouched():
    confidence, residual = np.array([0.3, 0.1, 0.3]), np.array([1.0, 0.0, 0.5])
    copies = confidence.copy(), residual.copy()
    partial_augrc(confidence, residual, 0.2, 0.9)
    np.testing.assert_array_equal(confidence, copies[0])
    np.testing.assert_array_equal(residual, copies[1])


def test_risk_at_coverage_is_the_lowest_risk_beyond_the_target():
    # At full coverage the risk is 1/4, lower than at 3/4, 1/2 and 1/4: a higher coverage serves best.
    assert risk_at_coverage([1, 2, 3, 4], [0, 0, 0, 1], 0.5) == 1 / 4


def test_no_coverage_is_safe_enough():
    assert coverage_at_risk([1, 2], [1, 1], 0.5) == 0.0


def test_full_coverage_counts_although_the_top_sample_fails():
    assert coverage_at_risk(range(100), [0] * 99 + [1], 0.05) == 1.0


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (0.6, 0.4), (-0.1, 1), (0, 1.1), (np.nan, 1)])
def test_partial_augrc_refuses_a_bad_interval(low, high):
    with pytest.raises(ValueError, match=r"(low|high) must"):
        partial_augrc([1, 2], [0, 1], low, high)


@pytest.mark.parametrize("coverage", [-0.1, 1.1, np.nan])
def test_risk_at_coverage_refuses_a_bad_target(coverage):
    with pytest.raises(ValueError, match="coverage must lie in"):
        risk_at_coverage([1, 2], [0, 1], coverage)


@pytest.mark.parametrize("risk", [-0.1, np.nan])
def test_coverage_at_risk_refuses_a_bad_target(risk):
    with pytest.raises(ValueError, match="risk must lie in"):
        coverage_at_risk([1, 2], [0, 1], risk)

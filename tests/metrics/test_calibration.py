from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import adaptive_ece, ece, mce
from harness.metrics.calibration import reliability

from . import references
from .references import samples

CALIBRATION = [ece, mce, adaptive_ece]


@given(samples(), st.integers(1, 25))
def test_ece_and_mce_equal_their_definition(sample, bins):
    expected_ece, expected_mce = references.ece_and_mce(*sample, bins)
    assert ece(*sample, bins) == pytest.approx(expected_ece, abs=1e-13)
    assert mce(*sample, bins) == pytest.approx(expected_mce, abs=1e-13)


@given(samples(), st.integers(1, 25))
def test_ece_follows_from_the_bins_that_are_drawn(sample, bins):
    stated, accuracy, counts = reliability(*sample, bins)
    assert counts.sum() == len(sample[0])
    assert (counts > 0).all()
    assert (np.diff(stated) > 0).all()
    expected, _ = references.ece_and_mce(*sample, bins)
    assert (counts * np.abs(accuracy - stated)).sum() / counts.sum() == pytest.approx(expected, abs=1e-13)


@given(samples())
def test_bounds(sample):
    assert 0 <= ece(*sample) <= mce(*sample) + 1e-14
    assert mce(*sample) <= 1
    assert 0 <= adaptive_ece(*sample) <= 1


@given(samples())
def test_one_bin_is_the_gap_of_the_means(sample):
    confidence, residual = np.clip(sample[0], 0, 1), np.array(sample[1])
    expected = abs(np.mean(1 - residual) - np.mean(confidence))
    for metric in CALIBRATION:
        assert metric(*sample, bins=1) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("metric", CALIBRATION)
@pytest.mark.parametrize(("residual", "expected"), [(0, 0.1), (1, 0.9)])
def test_samples_with_one_outcome(metric, residual, expected):
    assert metric([0.9] * 7, [residual] * 7) == pytest.approx(expected)


@pytest.mark.parametrize("metric", CALIBRATION)
def test_a_calibrated_score_has_no_error(metric):
    confidence = np.repeat([0.25, 0.5, 0.75], 4)
    residual = [1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0]
    assert metric(confidence, residual) == 0


@pytest.mark.parametrize("metric", CALIBRATION)
def test_scores_beyond_the_unit_interval_are_clipped(metric):
    assert metric([-3, 0.2, 7], [1, 0, 0]) == metric([0, 0.2, 1], [1, 0, 0])


def test_one_belongs_to_the_last_bin():
    assert ece([1.0, 0.96], [0, 1]) == pytest.approx(abs(1.96 - 1) / 2)


@pytest.mark.parametrize("edge", range(1, 20))
def test_a_value_at_an_edge_belongs_to_the_lower_bin(edge):
    at, below, above = edge / 20, edge / 20 - 0.01, edge / 20 + 0.01
    apart, together = (at + 1 - above) / 2, abs(at + below - 1) / 2
    assert ece([at, above], [1, 0]) == pytest.approx(apart)
    assert ece([below, at], [0, 1]) == pytest.approx(together)
    assert abs(at - (1 - above)) / 2 < apart - 0.04, "one bin for both would give another value"


def test_zero_belongs_to_the_first_bin():
    assert ece([0.0, 0.02], [1, 1]) == pytest.approx(0.01)


def test_equal_mass_bins_hold_equal_shares():
    # Four bins of three; within each the gap is |3 c - correct| / 3.
    confidence = np.arange(12) / 12
    residual = np.array([1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    parts = (1 - residual - confidence).reshape(4, 3).sum(axis=1)
    assert adaptive_ece(confidence, residual, bins=4) == pytest.approx(np.abs(parts).sum() / 12)


@given(samples(), st.randoms(), st.integers(1, 25))
def test_equal_confidences_are_never_split(sample, random, bins):
    shuffled = list(zip(*sample, strict=True))
    random.shuffle(shuffled)
    assert adaptive_ece(*zip(*shuffled, strict=True), bins) == pytest.approx(adaptive_ece(*sample, bins), abs=1e-14)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.integers(1, 25))
def test_a_constant_score_is_one_bin(residual, bins):
    accuracy = 1 - np.mean(residual)
    assert adaptive_ece([0.6] * len(residual), residual, bins) == pytest.approx(abs(accuracy - 0.6))


@pytest.mark.parametrize("metric", CALIBRATION)
@pytest.mark.parametrize("bins", [0, -1, 2.5, None, np.nan])
def test_bad_number_of_bins(metric, bins):
    with pytest.raises(ValueError, match="bins must be a whole number"):
        metric([0.1, 0.2], [0, 1], bins)


@pytest.mark.parametrize("metric", CALIBRATION)
def test_residuals_must_be_binary(metric):
    with pytest.raises(ValueError, match="residual must be binary"):
        metric([0.1, 0.2], [0, 0.5])

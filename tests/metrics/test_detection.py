from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import failure_ap, failure_auroc, fpr_at_tpr

from . import references
from .references import samples


@given(samples())
def test_auroc_equals_its_definition(sample):
    expected = references.failure_auroc(*sample)
    assert failure_auroc(*sample) == pytest.approx(expected, abs=1e-14, nan_ok=True)


@given(samples(), st.sampled_from([0.001, 0.25, 0.5, 0.8, 0.95, 1.0]))
def test_fpr_at_tpr_equals_its_definition(sample, tpr):
    expected = references.fpr_at_tpr(*sample, tpr)
    assert fpr_at_tpr(*sample, tpr) == pytest.approx(expected, abs=1e-14, nan_ok=True)


@given(samples(), st.sampled_from(["failure", "success"]))
def test_average_precision_equals_its_definition(sample, positive):
    expected = references.failure_ap(*sample, positive)
    assert failure_ap(*sample, positive) == pytest.approx(expected, abs=1e-14)


@given(samples(min_size=2))
def test_auroc_of_the_reversed_score_is_its_complement(sample):
    reversed_score = [-c for c in sample[0]]
    total = failure_auroc(*sample) + failure_auroc(reversed_score, sample[1])
    assert np.isnan(total) or total == pytest.approx(1, abs=1e-14)


@given(samples())
def test_average_precision_is_symmetric_in_the_outcomes(sample):
    confidence, residual = sample
    mirrored = [-c for c in confidence], [1 - r for r in residual]
    assert failure_ap(*sample) == pytest.approx(failure_ap(*mirrored, positive="success"), abs=1e-14)


def test_perfect_separation():
    sample = [0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]
    assert failure_auroc(*sample) == failure_ap(*sample) == failure_ap(*sample, "success") == 1
    assert fpr_at_tpr(*sample) == 0


def test_true_positive_rate_is_compared_at_three_decimals():
    # 1899 of 2000 successes lie above all failures: a rate of 0.9495.
    confidence = np.concatenate([np.full(1899, 2), np.full(100, 1), np.full(101, 0)])
    residual = np.concatenate([np.zeros(1899), np.ones(100), np.zeros(101)])
    assert fpr_at_tpr(confidence, residual) == 0
    assert fpr_at_tpr(confidence, residual, 0.951) == 1


def test_the_lowest_rate_need_not_be_a_corner_of_the_roc_curve():
    # Both points below full acceptance lie on one straight piece of the curve; a search that drops
    # collinear points would answer 1.0.
    confidence, residual = [1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 1]
    assert fpr_at_tpr(confidence, residual, 0.6) == pytest.approx(2 / 3)


@pytest.mark.parametrize("residual", [[0, 0], [1, 1]])
def test_undefined_with_one_outcome(residual):
    assert np.isnan(failure_auroc([1, 2], residual))
    assert np.isnan(fpr_at_tpr([1, 2], residual))


def test_average_precision_without_positives_is_zero():
    assert failure_ap([1, 2], [0, 0]) == 0
    assert failure_ap([1, 2], [1, 1], "success") == 0


@pytest.mark.parametrize("metric", [failure_auroc, fpr_at_tpr, failure_ap])
@pytest.mark.parametrize("value", [0.5, 2.0, np.nextafter(1, 0)])
def test_residuals_must_be_binary(metric, value):
    with pytest.raises(ValueError, match=r"residual must be binary.*sample 1"):
        metric([1, 2], [0, value])


@pytest.mark.parametrize("tpr", [0.0, -1.0, 1.01, np.nan])
def test_bad_true_positive_rate(tpr):
    with pytest.raises(ValueError, match="tpr must lie in"):
        fpr_at_tpr([1, 2], [0, 1], tpr)


def test_bad_positive_class():
    with pytest.raises(ValueError, match="positive must be"):
        failure_ap([1, 2], [0, 1], "error")

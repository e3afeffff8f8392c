"""Shares over settings and their tests, beside brute force and other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm, ttest_ind

from harness.statistics import heterogeneity, share_of, share_of_wins


@pytest.mark.parametrize(("count", "trials"), [(0, 7), (3, 7), (7, 7), (16, 36), (30, 36), (1, 1)])
def test_a_share_has_the_exact_interval_and_test(count: int, trials: int) -> None:
    found = share_of(count, trials)
    assert found.share == count / trials
    probabilities = binom.pmf(np.arange(trials + 1), trials, 0.5)
    as_rare = probabilities <= probabilities[count] * (1 + 1e-9)
    assert found.p_value == pytest.approx(probabilities[as_rare].sum(), rel=1e-9)
    # Clopper and Pearson: at each end, what was seen or more extreme has a chance of 2.5 %.
    if count:
        assert binom.sf(count - 1, trials, found.low) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.low == 0
    if count < trials:
        assert binom.cdf(count, trials, found.high) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.high == 1


@pytest.mark.parametrize("trials", [1, 5, 6, 13, 40])
def test_the_test_and_the_interval_never_disagree(trials: int) -> None:
    for count in range(trials + 1):
        found = share_of(count, trials)
        assert (found.p_value < 0.05) == (not found.low <= 0.5 <= found.high)


def test_no_trials_say_nothing() -> None:
    found = share_of(0, 0)
    assert math.isnan(found.share)
    assert (found.low, found.high, found.p_value) == (0, 1, 1)
    with pytest.raises(ValueError, match="3 of 2"):
        share_of(3, 2)


def test_ties_and_gaps_are_no_settings() -> None:
    found = share_of_wins([0.1, -0.2, 0.0, math.nan, 0.3, 1e-15])
    assert (found.count, found.trials) == (2, 3)


def test_two_settings_are_compared_as_by_welch() -> None:
    """One mean is known, so that the differences are two samples: F of two groups is the square of Welch's t."""
    one, other = np.array([1.0, 1.4, 0.8, 1.9]), np.array([2.0, 2.2, 1.9])
    samples = [one, other]
    errors = [np.std(each, ddof=1) / np.sqrt(len(each)) for each in samples]
    found = heterogeneity([each.mean() for each in samples], (errors, [0, 0]), ([4, 3], [math.inf] * 2))
    assert found == pytest.approx(ttest_ind(one, other, equal_var=False).pvalue, rel=1e-9)


def test_known_errors_give_cochrans_q() -> None:
    """Infinitely many runs: the weighted squares have a chi-square distribution; of two settings, z squared."""
    found = heterogeneity([0.3, 0.1], ([0.03, 0.05], [0.04, 0.0]), (np.full(2, math.inf), np.full(2, math.inf)))
    assert found == pytest.approx(2 * norm.sf(0.2 / np.hypot(0.05, 0.05)), rel=1e-6)


def test_equal_gains_are_called_different_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(2000):
        scatter = rng.uniform(0.2, 2, size=(2, 8, 1))
        runs = rng.normal(size=(2, 8, 5)) * scatter
        means, errors = runs.mean(axis=2), runs.std(axis=2, ddof=1) / np.sqrt(5)
        p_values.append(heterogeneity(means[0] - means[1], (errors[0], errors[1]), (np.full(8, 5), np.full(8, 5))))
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_settings_without_errors_are_left_out() -> None:
    full = heterogeneity([1, 2, 4], ([0.1, 0.2, 0.1], [0.3, 0.1, 0.2]), ([3, 3, 3], [3, 3, 3]))
    more = heterogeneity(
        [1, 2, 4, math.nan, 7, 8], ([0.1, 0.2, 0.1, 0.1, math.nan, 0], [0.3, 0.1, 0.2, 0.1, 0.1, 0]), ([3] * 6, [3] * 6)
    )
    assert more == full
    assert math.isnan(heterogeneity([1, 2], ([0.1, math.nan], [0.1, 0.1]), ([3, 3], [3, 3])))

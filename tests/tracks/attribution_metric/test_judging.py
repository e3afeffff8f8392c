"""Judgements of a metric against theory and brute force. Scores are (methods, n), higher = better."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, kendalltau, rankdata

from harness.statistics import shared_weights
from harness.statistics.significance import pairwise_tests
from harness.tracks.attribution_metric import judging
from harness.tracks.attribution_metric.judging import ReferenceScores

METHODS, SAMPLES, REPLICATES = 8, 21, 200


def quality(noise: float, seed: int = 0) -> np.ndarray:
    """Methods whose worth rises by one from each to the next, seen through noise."""
    rng = np.random.default_rng(seed)
    return np.arange(METHODS)[:, None] + noise * rng.normal(size=(METHODS, SAMPLES))


def references(*tables: np.ndarray, higher: bool = True) -> list[ReferenceScores]:
    return [ReferenceScores(f"m{place}", "faithfulness", higher, table) for place, table in enumerate(tables)]


def tau_of(scores: np.ndarray, others: list[ReferenceScores]) -> np.ndarray:
    return judging.agreement(scores, others, REPLICATES, 0)["faithfulness"][0]


def weights(samples: int = SAMPLES) -> np.ndarray:
    return shared_weights(samples, REPLICATES, 0)


def test_a_metric_that_is_the_consensus_agrees_with_it():
    scores = judging.ordered(quality(3.0))
    draws = tau_of(scores, references(scores))
    np.testing.assert_array_equal(draws, 1.0)


def test_a_reversed_metric_disagrees_wholly():
    scores = judging.ordered(quality(3.0))
    np.testing.assert_array_equal(tau_of(-scores, references(scores)), -1.0)


def test_declared_direction_of_a_reference_counts():
    scores = judging.ordered(quality(3.0))
    np.testing.assert_array_equal(tau_of(scores, references(-scores, higher=False)), 1.0)


def test_noise_agrees_with_nobody_on_average():
    rng = np.random.default_rng(5)
    consensus = references(*(quality(2.0, seed) for seed in range(3)))
    found = [tau_of(rng.normal(size=(METHODS, SAMPLES)), consensus) for _ in range(30)]
    values = np.array([draws[0] for draws in found])
    # Standard deviation of tau between independent orders of 8: sqrt(2 (2 n + 5) / (9 n (n - 1))) = 0.29.
    assert abs(values.mean()) < 3 * 0.29 / np.sqrt(30)
    assert values.std() == pytest.approx(0.29, abs=0.08)


def test_agreement_is_what_scipy_says_of_median_ranks():
    own, others = quality(4.0, 1), [quality(4.0, seed) for seed in (2, 3)]
    consensus = np.mean([rankdata(-np.median(each, axis=1)) for each in others], axis=0)
    expected = kendalltau(np.median(own, axis=1), -consensus).statistic
    tau, ours, theirs = judging.agreement(own, references(*others), REPLICATES, 0)["faithfulness"]
    assert tau[0] == pytest.approx(expected)
    np.testing.assert_array_equal(ours, rankdata(-np.median(own, axis=1)))
    np.testing.assert_array_equal(theirs, consensus)


def test_every_resample_is_the_whole_computation_on_it():
    own, other = quality(4.0, 1), quality(4.0, 2)
    draws, drawn = tau_of(own, references(other)), weights()
    for replicate in (1, 17, REPLICATES):
        rows = np.repeat(np.arange(SAMPLES), drawn[:, replicate])
        assert len(rows) == SAMPLES
        medians = [np.median(each[:, rows], axis=1) for each in (own, other)]
        assert draws[replicate] == pytest.approx(kendalltau(*medians).statistic)


def test_a_metric_that_ties_all_methods_agrees_with_nobody():
    tied = np.ones((METHODS, SAMPLES))
    np.testing.assert_array_equal(tau_of(tied, references(quality(1.0))), 0.0)
    np.testing.assert_array_equal(judging.concordance_of_halves(tied, 20, 0), 0.0)
    np.testing.assert_array_equal(judging.concordance_of_networks([tied, tied], REPLICATES, 0), 0.0)
    assert np.isnan(judging.concordance_of_networks([tied[:2], tied[:2]], REPLICATES, 0)).all()


def test_undefined_samples_are_left_out_for_all_methods():
    own, other = quality(4.0, 1), quality(4.0, 2)
    holed = own.copy()
    holed[3, [2, 9]] = np.nan
    rest = np.setdiff1d(np.arange(SAMPLES), [2, 9])
    expected = kendalltau(np.median(own[:, rest], axis=1), np.median(other, axis=1)).statistic
    assert tau_of(holed, references(other))[0] == pytest.approx(expected)


def test_nothing_to_compare_with_is_left_out():
    assert judging.agreement(quality(1.0), [], REPLICATES, 0) == {}
    assert judging.agreement(quality(1.0), references(np.full((METHODS, SAMPLES), np.nan)), REPLICATES, 0) == {}
    assert judging.agreement(np.full((METHODS, SAMPLES), np.nan), references(quality(1.0)), REPLICATES, 0) == {}


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([np.exp, np.cbrt, np.arctan, lambda x: 3 * x - 7]))
def test_only_the_order_of_scores_counts(seed, transform):
    scores = np.random.default_rng(seed).normal(size=(METHODS, 12))
    one, other = judging.ordered(scores), judging.ordered(transform(scores))
    np.testing.assert_array_equal(one, other)


def test_order_keeps_ties_and_what_is_undefined():
    scores = np.array([[1.0, np.nan, 5.0], [1.0, 0.5, np.nan]])
    np.testing.assert_array_equal(judging.ordered(scores), [[2.5, np.nan, 4.0], [2.5, 1.0, np.nan]])


@pytest.mark.parametrize("noise", [0.5, 3.0, 8.0, 100.0])
def test_power_is_the_share_of_nemenyis_pairs(noise):
    import pandas as pd

    scores = quality(noise)
    ranks = pd.DataFrame(
        (method, "c", sample, rank)
        for sample, column in enumerate(scores.T)
        for method, rank in enumerate(rankdata(-column))
    )
    ranks.columns = ["method", "criterion", "metric", "rank"]
    expected = (pairwise_tests(ranks)["p_value"] <= 0.05).mean()
    assert judging.power(scores, weights(), 0.05)[0] == pytest.approx(expected)


def test_power_has_its_bounds():
    few = np.tile(np.arange(3.0)[:, None], (1, 100))
    assert judging.power(few, weights(100), 0.05)[0] == 1.0
    assert judging.power(np.ones((5, 30)), weights(30), 0.05)[0] == 0.0
    rng = np.random.default_rng(0)
    chance = [judging.power(rng.normal(size=(6, 25)), weights(25), 0.05)[0] > 0 for _ in range(200)]
    assert np.mean(chance) < 0.1  # familywise level 0.05
    assert np.isnan(judging.power(np.ones((2, 30)), weights(30), 0.05)).all()
    assert np.isnan(judging.power(np.ones((5, 1)), weights(1), 0.05)).all()


def test_superiority_counts_every_pair():
    rng = np.random.default_rng(3)
    real, sanity = rng.integers(0, 4, size=(5, 7)).astype(float), rng.integers(0, 4, size=(2, 7)).astype(float)
    wins = [np.sign(a[i] - b[i]) for i in range(7) for a in real for b in sanity]
    assert judging.superiority(real, sanity, weights(7))[0] == pytest.approx(np.mean(wins))
    assert judging.superiority(real + 9, sanity, weights(7))[0] == 1.0
    assert judging.superiority(sanity, sanity[:1], weights(7)).shape == (1 + REPLICATES,)
    assert judging.superiority(real[:1], real[:1], weights(7))[0] == 0.0


def test_share_above_asks_for_every_sanity_row():
    real = np.array([[1.0, 1, 1], [3, 3, 3], [5, 5, 5]])
    sanity = np.array([[0.0, 0, 0], [4, 4, 0]])
    np.testing.assert_allclose(judging.share_above(real, sanity, weights(3))[0], 1 / 3)
    np.testing.assert_allclose(judging.share_above(real, real[1:2], weights(3))[0], 1 / 3)  # equal is not above


def test_paired_effect_meets_each_method_with_itself():
    scores = np.array([[1.0, 5.0], [9.0, 2.0]])
    np.testing.assert_allclose(judging.paired_effect(scores, scores[:, ::-1], weights(2))[0], 0.0)
    np.testing.assert_allclose(judging.paired_effect(scores, scores - 1, weights(2))[0], 1.0)
    np.testing.assert_allclose(judging.paired_effect(scores, scores, weights(2))[0], 0.0)
    mixed = scores + np.array([[1.0, -1.0], [1.0, 1.0]])
    np.testing.assert_allclose(judging.paired_effect(scores, mixed, weights(2))[0], -0.5)


def test_halves_agree_as_much_as_there_is_to_agree_on():
    steady = judging.concordance_of_halves(np.tile(np.arange(6.0)[:, None], (1, 20)), 50, 0)
    np.testing.assert_allclose(steady, 1.0)
    noise = judging.concordance_of_halves(np.random.default_rng(0).normal(size=(12, 40)), 300, 0)
    assert noise[0] == pytest.approx(0.5, abs=0.12)  # W of two independent orders
    assert np.isnan(judging.concordance_of_halves(np.ones((6, 3)), 50, 0)).all()


def test_networks_agree_as_friedman_says():
    tables = [quality(6.0, seed) for seed in range(3)]
    orders = [rankdata(-np.median(each, axis=1)) for each in tables]
    expected = friedmanchisquare(*np.transpose(orders)).statistic / (3 * (METHODS - 1))
    draws = judging.concordance_of_networks(tables, REPLICATES, 0)
    assert draws[0] == pytest.approx(expected)
    assert draws.shape == (1 + REPLICATES,)
    np.testing.assert_allclose(judging.concordance_of_networks([tables[0]] * 3, REPLICATES, 0), 1.0)


def test_replicates_depend_on_no_other_metric():
    drawn = [judging.power(quality(noise), weights(), 0.05) for noise in (5.0, 2.0)]
    np.testing.assert_array_equal(drawn[0], judging.power(quality(5.0), weights(), 0.05))
    assert not np.array_equal(*drawn)


def test_pairs_are_told_apart_one_by_one():
    scores = quality(1.5)
    ranks = rankdata(-scores, axis=0).mean(axis=1)
    from scipy.stats import studentized_range

    error = np.sqrt(METHODS * (METHODS + 1) / (6 * SAMPLES))
    told = [
        studentized_range.sf(abs(ranks[a] - ranks[b]) / error * np.sqrt(2), METHODS, np.inf) <= 0.05
        for a, b in combinations(range(METHODS), 2)
    ]
    assert judging.power(scores, weights(), 0.05)[0] == pytest.approx(np.mean(told))

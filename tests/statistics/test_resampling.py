"""The bootstrap, held against drawing one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import bootstrap_weights, mean_over_drawn, shared_weights
from harness.statistics.resampling import group_draws, weight_rows, weights_by_sample

SIZES = st.integers(1, 12)


@given(SIZES, st.integers(1, 6), st.integers(0, 2**32 - 1), st.data())
def test_every_stratum_keeps_its_size_and_rows_depend_on_no_other(n, replicates, seed, data):
    strata = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    weights = bootstrap_weights(n, replicates, seed, strata)
    for stratum in set(strata):
        members = np.array(strata) == stratum
        assert (weights[:, members].sum(axis=1) == members.sum()).all()
    np.testing.assert_array_equal(bootstrap_weights(n, replicates + 3, seed, strata)[:replicates], weights)
    np.testing.assert_array_equal(list(weight_rows(n, replicates, seed, strata)), weights)
    pieces = list(weights_by_sample(n, replicates, seed, strata, at_once=4))
    assert {piece.shape[1] for piece in pieces[:-1]} <= {4}
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1).T, weights)


def test_draws_are_those_of_the_definition():
    """A resample takes floor(u * size) of each stratum, with u of 53 bits from a stream of its own."""
    n, sizes, seed = 50_000, (20_000, 30_000), 11
    for replicate, row in enumerate(bootstrap_weights(n, 2, seed, np.repeat([0, 1], sizes))):
        stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(replicate,))))
        uniform = stream.random(n)
        picks = np.floor(uniform * np.repeat(sizes, sizes)).astype(int) + np.repeat([0, 20_000], sizes)
        np.testing.assert_array_equal(row, np.bincount(picks, minlength=n))


def test_observations_are_drawn_with_equal_chances():
    """Counts of a multinomial: mean 1, variance 1 - 1/n."""
    weights = bootstrap_weights(10, 20_000, seed=3)
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.03)
    np.testing.assert_allclose(weights.var(axis=0), 0.9, atol=0.05)


@given(SIZES, st.integers(0, 6), st.integers(0, 99))
def test_shared_weights_are_the_sample_and_then_its_resamples(n, replicates, seed):
    weights = shared_weights(n, replicates, seed)
    assert weights.shape == (n, 1 + replicates)
    assert (weights[:, 0] == 1).all()
    if replicates:
        np.testing.assert_array_equal(weights[:, 1:].T, bootstrap_weights(n, replicates, seed))
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 2


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 99))
def test_groups_are_drawn_anew_in_each_replicate(groups, replicates, seed):
    values = np.random.default_rng(seed).normal(size=(groups, replicates))
    drawn = group_draws(groups, replicates, seed)
    assert drawn.shape == (replicates, groups)
    expected = [np.mean([values[group, b] for group in drawn[b]]) for b in range(replicates)]
    np.testing.assert_allclose(mean_over_drawn(values, seed), expected)


@pytest.mark.parametrize(("n", "replicates"), [(0, 3), (3, 0), (-1, 3)])
def test_nothing_to_draw(n, replicates):
    with pytest.raises(ValueError, match="a bootstrap needs samples and replicates"):
        bootstrap_weights(n, replicates, seed=0)

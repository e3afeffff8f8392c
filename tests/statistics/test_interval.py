"""The 95 % interval, held against numpy on each column alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.statistics import contains_zero, percentile_interval, tied_ranks

NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.just(float("nan")))


@given(arrays.arrays(float, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=NUMBERS))
def test_undefined_replicates_are_left_out(replicates):
    low, high = percentile_interval(replicates)
    assert low.shape == high.shape == replicates.shape[1:]
    for place in np.ndindex(low.shape):
        column = replicates[(slice(None), *place)]
        defined = column[~np.isnan(column)]
        expected = np.percentile(defined, [2.5, 97.5]) if len(defined) else [np.nan, np.nan]
        np.testing.assert_allclose([low[place], high[place]], expected, atol=1e-12)


def test_no_replicates_give_no_interval():
    assert np.isnan(percentile_interval(np.empty((0, 2)))).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_that_ends_at_zero_contains_it(sign):
    differences = sign * np.concatenate([np.full(30, 0.1 + 0.2 - 0.3), np.full(970, 1.0)])
    assert contains_zero(differences)
    assert not contains_zero(differences + sign)
    assert not contains_zero(np.full(5, np.nan)), "what is undefined is not equal"


@given(arrays.arrays(float, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=NUMBERS))
def test_tied_ranks_count_rivals(costs):
    ranks = tied_ranks(costs)
    for place in np.ndindex(costs.shape):
        rivals = costs[place[:-1]]
        mine = costs[place]
        expected = (rivals < mine).sum() + ((rivals == mine).sum() + 1) / 2 if mine == mine else np.nan
        np.testing.assert_equal(ranks[place], expected)

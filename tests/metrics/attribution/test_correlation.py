from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr, rankdata, spearmanr

from harness.metrics.attribution._correlation import average_ranks, pearson, spearman

values = st.sampled_from([-2.0, -1e-3, 0.0, 1.0, 1.5, 1e6])
pairs = arrays(np.float64, (2, 3, 7), elements=values)


@pytest.mark.parametrize(("ours", "theirs"), [(pearson, pearsonr), (spearman, spearmanr)])
@given(pairs)
def test_each_row_is_the_correlation_of_scipy(ours, theirs, pair):
    rows = zip(*pair, strict=True)
    expected = [theirs(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0 for a, b in rows]
    np.testing.assert_allclose(ours(*torch.from_numpy(pair)).numpy(), expected, atol=1e-9)


@given(arrays(np.float64, (2, 3, 7), elements=values))
def test_equal_values_share_their_mean_rank(batch):
    np.testing.assert_array_equal(average_ranks(torch.from_numpy(batch)).numpy(), rankdata(batch, axis=-1) - 1)


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_a_constant_side_says_nothing(correlation):
    constant, other = torch.full((2, 5), 0.1), torch.arange(10.0).view(2, 5)
    for pair in [(constant, other), (other, constant), (constant, constant)]:
        assert correlation(*pair).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e150])
def test_scale_does_not_matter(scale):
    line = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    assert pearson(scale * line, line).item() == pytest.approx(1.0)
    assert pearson(-scale * line, line).item() == pytest.approx(-1.0)


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_single_precision_is_raised_to_double(correlation):
    assert correlation(torch.rand(2, 3, 4), torch.rand(2, 3, 4)).dtype == torch.float64

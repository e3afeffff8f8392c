"""Agreement with the values that the published nnActive code returns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.metrics.budget_curve import aubc, foreground_efficiency, foreground_efficiency_fit, pairwise_penalty
from tests.oracles import oracle

_CASES = oracle("budget_curve")
each = pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{len(case['rows'])}-{case['full_performance']}")


def _runs(case, column):
    """{method: (seeds, loops)}"""
    frame = pd.DataFrame(case["rows"])
    return {
        name: of.pivot(index="seed", columns="loop", values=column).to_numpy() for name, of in frame.groupby("method")
    }


def _curves(case):
    fraction, value = _runs(case, "fraction"), _runs(case, "value")
    return {name: (fraction[name], value[name]) for name in fraction}


def _shuffled(case, seed=0):
    return pd.DataFrame(case["rows"]).sample(frac=1, random_state=seed)


@each
def test_aubc(case):
    values = {name: aubc(runs) for name, runs in _runs(case, "value").items()}
    assert len(case["aubc"]) == sum(map(len, values.values()))
    for key, published in case["aubc"].items():
        method, seed = key.split("|")
        assert values[method][int(seed)] == pytest.approx(published, abs=1e-12)


@each
@pytest.mark.parametrize("compatibility", [None, "nnactive"])
def test_foreground_efficiency(case, compatibility):
    found = foreground_efficiency(_curves(case), case["full_performance"], compatibility=compatibility)
    assert found == pytest.approx(case["foreground_efficiency"], rel=1e-6)


@each
def test_fit(case):
    fit = foreground_efficiency_fit(_curves(case), case["full_performance"])
    published = case["fit"]
    assert (fit.a, fit.c, fit.x0) == pytest.approx((published["a"], published["c"], published["x_offset"]), abs=1e-12)


@each
@pytest.mark.parametrize(("correction", "name"), [(None, "pairwise_penalty"), ("holm", "pairwise_penalty_holm")])
def test_pairwise_penalty(case, correction, name):
    # The published matrix says how often the row is beaten: ours is its transpose.
    published = pd.DataFrame(case[name]).sort_index().sort_index(axis=1)
    found = pairwise_penalty(_shuffled(case), correction=correction)
    assert list(found.index) == list(published.index) == list(found.columns) == list(published.columns)
    np.testing.assert_allclose(found, published, atol=1e-12)


@each
def test_pairs_by_row_order_agree_where_rows_are_in_the_order_of_seeds(case):
    frame = pd.DataFrame(case["rows"])
    expected = pd.DataFrame(case["pairwise_penalty"]).sort_index().sort_index(axis=1)
    np.testing.assert_allclose(pairwise_penalty(frame, pairing="nnactive"), expected, atol=1e-12)

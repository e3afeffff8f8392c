from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from harness.statistics import kendall_taus, kendall_w, kendall_ws, metric_tau
from harness.statistics.agreement import concordance
from tests.statistics.support import rank_table


@st.composite
def rankings(draw, min_methods=1, max_methods=6):
    """Metric ranks of one criterion, {metric: {method: rank}}, with ties."""
    methods = "abcdefgh"[: draw(st.integers(min_methods, max_methods))]
    n = len(methods)
    columns = {}
    for k in range(draw(st.integers(1, 5))):
        values = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
        columns[f"k{k}"] = dict(zip(methods, rankdata(values).tolist(), strict=True))
    return columns


@given(rankings(min_methods=3))
def test_w_is_the_variance_of_rank_sums_over_its_maximum(columns):
    found = kendall_w(rank_table("c", columns)).iloc[0]
    ranks = np.array([list(column.values()) for column in columns.values()])
    k, n = ranks.shape
    ties = sum(sum(t**3 - t for t in np.unique(row, return_counts=True)[1]) for row in ranks)
    most = k**2 * (n**3 - n) / 12 - k * ties / 12
    if k < 2 or most == 0:
        assert np.isnan(found["w"])
    else:
        sums = ranks.sum(axis=0)
        assert found["w"] == pytest.approx(np.sum((sums - sums.mean()) ** 2) / most, abs=1e-9)
    assert (found["methods"], found["metrics"]) == (n, k)


def test_w_of_full_agreement_and_of_opposites():
    up = {m: float(i) for i, m in enumerate("abcd", 1)}
    down = {m: 5 - r for m, r in up.items()}
    assert kendall_w(rank_table("c", {"k1": up, "k2": up})).loc[0, "w"] == pytest.approx(1)
    assert kendall_w(rank_table("c", {"k1": up, "k2": down})).loc[0, "w"] == pytest.approx(0)


@given(rankings())
def test_tau_counts_pairs(columns):
    table = metric_tau(rank_table("c", columns))
    assert len(table) == len(columns) * (len(columns) - 1) // 2
    for found in table.to_dict("records"):
        a, b = (np.array(list(columns[found[name]].values())) for name in ("metric_a", "metric_b"))
        signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)]
        norm = np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))
        expected = sum(x * y for x, y in signs) / norm if norm else np.nan
        assert found["tau"] == pytest.approx(expected, nan_ok=True)


def test_tau_between_criteria_uses_the_methods_both_have():
    ranks = [rank_table("c", {"k1": {"a": 1, "b": 2, "z": 3}}), rank_table("d", {"k2": {"a": 2, "b": 1, "y": 3}})]
    found = metric_tau(pd.concat(ranks)).iloc[0]
    assert found[["same_criterion", "methods", "tau"]].tolist() == [False, 2, -1]


def test_tables_with_holes_are_refused():
    ranks = rank_table("c", {"k1": {"a": 1, "b": 2}, "k2": {"a": 1}})
    with pytest.raises(ValueError, match=r"without a rank for every metric of the criterion: \['b'\]"):
        kendall_w(ranks)
    with pytest.raises(ValueError, match="'a' has more than one rank for metric 'k1'"):
        kendall_w(pd.concat([ranks, ranks]))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 5))
def test_many_taus_at_once_are_each_scipys(seed, methods, levels):
    from scipy.stats import kendalltau

    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, levels, size=(2, 4, methods)).astype(float)
    for found, one, other in zip(kendall_taus(a, b), a, b, strict=True):
        np.testing.assert_allclose(found, kendalltau(one, other).statistic, atol=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(3, 4), st.integers(1, 5))
def test_many_ws_at_once_are_each_friedmans(seed, methods, raters, levels):
    from scipy.stats import rankdata

    ranks = rankdata(np.random.default_rng(seed).integers(0, levels, size=(5, raters, methods)), axis=-1)
    for found, own in zip(kendall_ws(ranks), ranks, strict=True):
        np.testing.assert_allclose(found, concordance(pd.DataFrame(own.T))[0], atol=1e-12)


def test_w_needs_three_methods_and_two_raters():
    assert np.isnan(kendall_ws(np.ones((4, 2, 2)))).all()
    assert np.isnan(kendall_ws(np.ones((4, 1, 5)))).all()

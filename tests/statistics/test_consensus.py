from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import consensus
from harness.statistics.consensus import _local_search, kemeny_order
from tests.statistics.support import rank_table
from tests.statistics.test_agreement import rankings


def disagreements(order, columns):
    return sum(
        column[first] > column[second]
        for i, first in enumerate(order)
        for second in order[i + 1 :]
        for column in columns.values()
    )


@settings(max_examples=50)
@given(rankings())
def test_kemeny_is_the_best_of_all_orders(columns):
    table = consensus(rank_table("c", columns))
    order = table.sort_values("place_by_kemeny")["method"].tolist()
    best = min(disagreements(other, columns) for other in permutations(order))
    assert disagreements(order, columns) == best
    assert table["kemeny_exact"].all()


@given(rankings())
def test_borda_counts_the_beaten_and_agrees_with_the_mean_rank(columns):
    table = consensus(rank_table("c", columns)).set_index("method")
    for method, found in table.iterrows():
        beaten = [
            (column[method] < rank) + 0.5 * (column[method] == rank)
            for column in columns.values()
            for rival, rank in column.items()
            if rival != method
        ]
        assert found["borda"] == sum(beaten)
        assert found["mean_rank"] == pytest.approx(np.mean([column[method] for column in columns.values()]))
    assert (table["place_by_mean"] == table["place_by_borda"]).all()


def test_unanimous_metrics_and_a_majority():
    up = {"a": 1, "b": 2, "c": 3}
    table = consensus(rank_table("c", {"k1": up, "k2": up})).set_index("method")
    for rule in ("mean", "borda", "kemeny"):
        assert table[f"place_by_{rule}"].to_dict() == up
    # Condorcet's winner a loses to b by mean rank: three metrics say a b c, two say b c a.
    other = {"a": 3, "b": 1, "c": 2}
    table = consensus(rank_table("c", {"k1": up, "k2": up, "k3": up, "k4": other, "k5": other})).set_index("method")
    assert table["place_by_mean"].to_dict() == {"b": 1, "a": 2, "c": 3}
    assert table["place_by_kemeny"].to_dict() == {"a": 1, "b": 2, "c": 3}


@given(st.integers(2, 7), st.integers(0, 999))
def test_local_search_cannot_be_improved_by_moving_one_method(n, seed):
    against = np.random.default_rng(seed).integers(0, 6, size=(n, n))
    order = _local_search(against)
    assert sorted(order) == list(range(n))

    def cost(order):
        return sum(against[first, second] for i, first in enumerate(order) for second in order[i + 1 :])

    for i in range(n):
        for j in range(n):
            moved = [method for method in order if method != order[i]]
            moved.insert(j, order[i])
            assert cost(moved) >= cost(order)
    assert cost(kemeny_order(against)[0]) <= cost(order)


def test_large_pools():
    for n, exact in ((17, True), (60, False)):
        up = {f"m{i:02}": float(i) for i in range(n)}
        table = consensus(rank_table("c", {"k1": up, "k2": up}))
        assert table["kemeny_exact"].tolist() == [exact] * n
        assert table["place_by_kemeny"].tolist() == list(range(1, n + 1))


def test_no_ranks():
    with pytest.raises(ValueError, match="no ranks"):
        consensus(pd.DataFrame(columns=["method", "criterion", "metric", "rank"]))

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import kendall_w, pairwise_tests
from harness.statistics.budgets import average_ranks, leave_one_seed_out, seed_stability, setting_ranks

METHODS = ("a", "b", "c")
SETTINGS = ("x", "y")
VALUE = st.integers(0, 9).map(lambda i: i / 10)


def runs(values, measure="aubc"):
    """{setting: (methods, seeds)} as a long table."""
    rows = [
        (measure, setting, METHODS[m], seed, value)
        for setting, of in values.items()
        for m, seeds in enumerate(of)
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(rows, columns=["measure", "setting", "method", "seed", "value"])


TABLES = st.fixed_dictionaries(
    {s: st.lists(st.lists(VALUE, min_size=3, max_size=3), min_size=3, max_size=3) for s in SETTINGS}
)


def brute_ranks(totals):
    """Average rank of each value, the highest first."""
    return [1 + sum(o > t for o in totals) + (sum(o == t for o in totals) - 1) / 2 for t in totals]


def integer_totals(of, without=None):
    return [sum(round(10 * v) for seed, v in enumerate(seeds) if seed != without) for seeds in of]


@given(TABLES)
@settings(max_examples=30)
def test_ranks_by_the_mean_over_seeds(values):
    ranks = setting_ranks(runs(values).sample(frac=1, random_state=0)).set_index(["metric", "method"])
    for setting, of in values.items():
        assert ranks.loc[setting, "rank"].tolist() == brute_ranks(integer_totals(of))
        assert ranks.loc[setting, "mean"].tolist() == pytest.approx([np.mean(seeds) for seeds in of])


@given(TABLES)
@settings(max_examples=30)
def test_ranks_without_each_seed(values):
    table = leave_one_seed_out(runs(values)).set_index(["metric", "left_out", "method"]).sort_index()
    assert len(table) == 18
    for setting, of in values.items():
        for seed in range(3):
            assert table.loc[(setting, seed), "rank"].tolist() == brute_ranks(integer_totals(of, without=seed))


@given(TABLES)
@settings(max_examples=30)
def test_stability_is_the_mean_tau_over_ordered_pairs(values):
    found = seed_stability(leave_one_seed_out(runs(values))).set_index("metric")
    for setting, of in values.items():
        totals = [integer_totals(of, without=seed) for seed in range(3)]
        taus = [brute_tau(p, q) for p, q in permutations(totals, 2)]
        assert found.loc[setting, "tau"] == pytest.approx(np.mean(taus), nan_ok=True)
        assert found.loc[setting, "lowest_tau"] == pytest.approx(np.min(taus), nan_ok=True)
        assert found.loc[setting, ["seeds", "methods"]].tolist() == [3, 3]


def brute_tau(p, q):
    """tau-b."""
    pairs = [(i, j) for i in range(len(p)) for j in range(i)]
    signs = [(np.sign(p[i] - p[j]), np.sign(q[i] - q[j])) for i, j in pairs]
    untied = np.prod([sum(s[k] != 0 for s in signs) for k in (0, 1)])
    return sum(s * t for s, t in signs) / np.sqrt(untied) if untied else np.nan


def test_the_same_order_without_any_seed_is_stable():
    of = [[0.1, 0.2, 0.1], [0.5, 0.4, 0.6], [0.8, 0.9, 0.9]]
    found = seed_stability(leave_one_seed_out(runs({"x": of})))
    assert found.loc[0, ["tau", "lowest_tau"]].tolist() == [1, 1]


def test_rounding_errors_tie():
    of = [[0.1, 0.2], [0.2, 0.1], [0.3, 0.1 + 0.1 - 0.2]]
    assert setting_ranks(runs({"x": of}))["rank"].tolist() == [2, 2, 2]


def test_published_ranks_tie_at_two_decimals_of_percent():
    frame = runs({"x": [[0.80001], [0.80004], [0.7]]})
    assert setting_ranks(frame)["rank"].tolist() == [2, 1, 3]
    assert setting_ranks(frame, compatibility="nnactive")["rank"].tolist() == [1, 1, 3]
    apart = runs({"x": [[0.80001], [0.8003], [0.7]]})
    assert setting_ranks(apart, compatibility="nnactive")["rank"].tolist() == [2, 1, 3]
    three = runs({"x": [[0.9], [0.8], [0.8]]})
    assert setting_ranks(three)["rank"].tolist() == [1, 2.5, 2.5]
    assert setting_ranks(three, compatibility="nnactive")["rank"].tolist() == [1, 2, 2]


def test_average_over_settings():
    values = {"x": [[0.9], [0.8], [0.7]], "y": [[0.8], [0.9], [0.7]], "z": [[0.9], [0.8], [0.7]]}
    table = average_ranks(setting_ranks(runs(values)))
    assert table["method"].tolist() == ["a", "b", "c"]
    assert table["mean_rank"].tolist() == pytest.approx([4 / 3, 5 / 3, 3])
    assert table["rank_sd"].tolist() == pytest.approx([3**-0.5, 3**-0.5, 0])  # ranks 1, 2, 1
    assert table["rank_se"].tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert table["settings"].tolist() == [3, 3, 3]


def test_measures_are_ranked_on_their_own():
    up, down = {"x": [[0.1], [0.2], [0.3]]}, {"x": [[0.3], [0.2], [0.1]]}
    ranks = setting_ranks(pd.concat([runs(up), runs(down, measure="final")]))
    assert ranks.groupby("criterion")["rank"].apply(list).to_dict() == {"aubc": [3, 2, 1], "final": [1, 2, 3]}


def test_friedman_and_nemenyi_over_settings():
    # Three methods in the same order in n settings: W = 1 and chi-square = 2n with two degrees of freedom.
    values = {f"s{k}": [[0.9], [0.8], [0.7]] for k in range(6)}
    ranks = setting_ranks(runs(values))
    concordance = kendall_w(ranks)
    assert concordance.loc[0, "w"] == pytest.approx(1)
    assert concordance.loc[0, "p_value"] == pytest.approx(np.exp(-6))
    tests = pairwise_tests(ranks).set_index(["method_a", "method_b"])["p_value"]
    assert tests["a", "c"] < 0.01 < tests["a", "b"]


FRAME = runs({"x": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], "y": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]})


@pytest.mark.parametrize("function", [setting_ranks, leave_one_seed_out])
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda f: f.drop(columns="seed"), "lacks the columns"),
        (lambda f: f.iloc[:0], "is empty"),
        (lambda f: f.assign(method=f["method"].where(f.index > 0)), "empty entries"),
        (lambda f: f.assign(value=f["value"].where(f.index > 0)), "finite numbers"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "repeated row"),
        (lambda f: f.drop(index=0), "\\['a'\\] have no 'aubc' in the setting 'x' with seed 0"),
        (lambda f: f[(f["method"] != "c") | (f["setting"] != "y")], "\\['c'\\] have no 'aubc' in the setting 'y'"),
    ],
)
def test_bad_tables(function, change, cause):
    with pytest.raises(ValueError, match=cause):
        function(change(FRAME))


def test_bad_use():
    with pytest.raises(ValueError, match="compatibility"):
        setting_ranks(FRAME, compatibility="other")
    with pytest.raises(ValueError, match="single seed"):
        leave_one_seed_out(FRAME[FRAME["seed"] == 0])

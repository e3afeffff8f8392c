from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics.ranks import rank_with_uncertainty


@st.composite
def boards(draw):
    """(values, replicates) of up to six methods, with exact ties and with clear gaps."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    cell = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 4.0])
    values = pd.Series({name: draw(cell) for name in names})
    rows = draw(st.integers(1, 12))
    noise = {name: draw(st.lists(cell, min_size=rows, max_size=rows)) for name in names}
    return values, pd.DataFrame(noise) + values


@given(boards(), st.booleans(), st.randoms())
def test_order_of_input_changes_nothing(board, lower_is_better, random):
    values, replicates = board
    names, rows = list(values.index), list(replicates.index)
    expected = rank_with_uncertainty(values, replicates, lower_is_better=lower_is_better)
    random.shuffle(names)
    random.shuffle(rows)
    shuffled = replicates.loc[rows, sorted(names)]
    result = rank_with_uncertainty(values[names], shuffled, lower_is_better=lower_is_better)
    pd.testing.assert_frame_equal(result, expected, check_exact=True)


@given(boards())
def test_direction_is_a_sign(board):
    values, replicates = board
    lower = rank_with_uncertainty(values, replicates)
    higher = rank_with_uncertainty(-values, -replicates, lower_is_better=False)
    columns = ["rank", "rank_low", "rank_high", "p_best", "group"]
    pd.testing.assert_frame_equal(lower[columns], higher[columns])
    np.testing.assert_allclose(lower["low"], -higher["high"])


@given(boards())
def test_a_dominated_copy_changes_no_other_method(board):
    values, replicates = board
    before = rank_with_uncertainty(values, replicates)
    worst = before.index[-1]
    values["z"], replicates["z"] = values[worst] + 9, replicates.max(axis=1) + 9
    after = rank_with_uncertainty(values, replicates)
    pd.testing.assert_frame_equal(after.drop("z"), before)
    assert after.loc["z", "rank"] == after.loc["z", "rank_low"] == len(values)
    assert after.loc["z", "p_best"] == 0


@given(boards())
def test_columns_agree_with_each_other(board):
    values, replicates = board
    table = rank_with_uncertainty(values, replicates)
    assert table["rank"].tolist() == [(values < values[name]).sum() + 1 for name in table.index]
    assert (table["rank_low"] <= table["rank_high"]).all()
    assert table[["rank", "rank_low", "rank_high"]].stack().between(1, len(values)).all()
    assert table["p_best"].sum() == pytest.approx(1)
    assert table["group"].iloc[0] == 1
    assert set(np.diff(table["group"])) <= {0, 1}
    pairs = list(zip(table["rank"], table.index, strict=True))
    assert pairs == sorted(pairs)


@given(boards())
def test_replicate_ranks_lie_within_the_interval(board):
    values, replicates = board
    table = rank_with_uncertainty(values, replicates)
    for name in values.index:
        ranks = (replicates.lt(replicates[name], axis=0)).sum(axis=1) + 1
        inside = ranks.between(table.loc[name, "rank_low"], table.loc[name, "rank_high"])
        assert inside.mean() >= 0.95 - 1e-12


def test_replicates_equal_to_the_values_leave_no_doubt():
    values = pd.Series({"b": 2.0, "a": 1.0, "c": 3.0})
    table = rank_with_uncertainty(values, pd.DataFrame([values] * 10))
    expected = pd.DataFrame(
        {
            "value": [1.0, 2.0, 3.0],
            "low": [1.0, 2.0, 3.0],
            "high": [1.0, 2.0, 3.0],
            "rank": [1, 2, 3],
            "rank_low": [1, 2, 3],
            "rank_high": [1, 2, 3],
            "p_best": [1.0, 0.0, 0.0],
            "group": [1, 2, 3],
        },
        index=pd.Index(["a", "b", "c"], name="method"),
    )
    pd.testing.assert_frame_equal(table, expected)


def test_equal_methods_share_rank_group_and_victories():
    values = pd.Series({"twin": 1.0, "late": 2.0, "self": 1.0})
    table = rank_with_uncertainty(values, pd.DataFrame([values] * 4))
    assert table.index.tolist() == ["self", "twin", "late"]
    assert table["rank"].tolist() == [1, 1, 3]
    assert table["group"].tolist() == [1, 1, 2]
    assert table["p_best"].tolist() == [0.5, 0.5, 0.0]


def test_a_small_but_paired_difference_separates():
    # The noise is shared: single intervals overlap almost fully, the difference is always 0.01.
    noise = np.random.default_rng(0).normal(size=400)
    replicates = pd.DataFrame({"a": noise, "b": noise + 0.01})
    table = rank_with_uncertainty(pd.Series({"a": 0.0, "b": 0.01}), replicates)
    assert table.loc["b", "low"] < table.loc["a", "high"]
    assert table["group"].tolist() == [1, 2]


def test_groups_are_measured_from_their_best_member():
    # Neighbours differ by less than their noise, but the third differs clearly from the first.
    rng = np.random.default_rng(0)
    values = pd.Series({"a": 0.0, "b": 1.5, "c": 3.0, "d": 4.5})
    replicates = pd.DataFrame({name: value + rng.normal(0, 0.6, 2000) for name, value in values.items()})
    assert rank_with_uncertainty(values, replicates)["group"].tolist() == [1, 1, 2, 2]


def test_intervals_cover_the_truth():
    """Estimates around a known truth, replicates around the estimates: nominal coverage is 95 %."""
    rng = np.random.default_rng(1)
    truth = pd.Series({"a": 1.0, "b": 1.0, "c": 2.0, "d": 2.4, "e": 6.0})
    true_rank = truth.rank(method="min")
    trials, value_covered, rank_covered, twins_tied, outsider_tied = 300, 0, 0, 0, 0
    for _ in range(trials):
        estimate = truth + 0.3 * rng.normal() + 0.3 * rng.normal(size=5)
        shared, own = 0.3 * rng.normal(size=(200, 1)), 0.3 * rng.normal(size=(200, 5))
        replicates = pd.DataFrame(estimate.to_numpy() + shared + own, columns=truth.index)
        table = rank_with_uncertainty(estimate, replicates).loc[truth.index]
        value_covered += table["low"].le(truth).mul(table["high"].ge(truth)).mean()
        rank_covered += table["rank_low"].le(true_rank).mul(table["rank_high"].ge(true_rank)).mean()
        twins_tied += table.loc["a", "group"] == table.loc["b", "group"]
        outsider_tied += table["group"].eq(table.loc["e", "group"]).sum() > 1
    assert value_covered / trials == pytest.approx(0.95, abs=0.02)
    assert rank_covered / trials >= 0.93
    assert twins_tied / trials >= 0.92
    assert outsider_tied == 0


@settings(max_examples=20)
@given(st.integers(1, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_missing_values_are_refused(position, missing):
    values = pd.Series(np.arange(6.0), index=list("abcdef"))
    replicates = pd.DataFrame([values] * 3)
    values.iloc[position] = missing
    with pytest.raises(ValueError, match=rf"cannot be ranked: \['{'abcdef'[position]}'\]"):
        rank_with_uncertainty(values, replicates)


def test_missing_replicates_are_refused():
    replicates = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.nan]})
    with pytest.raises(ValueError, match=r"cannot be ranked: \['b'\]"):
        rank_with_uncertainty(pd.Series({"a": 1.0, "b": 2.0}), replicates)


def test_no_methods():
    with pytest.raises(ValueError, match="no method to rank"):
        rank_with_uncertainty(pd.Series(dtype=float), pd.DataFrame())


def test_no_replicates():
    with pytest.raises(ValueError, match="replicates is empty"):
        rank_with_uncertainty(pd.Series({"a": 1.0}), pd.DataFrame({"a": []}))


def test_repeated_methods():
    twice = pd.Series([1.0, 2.0], index=["a", "a"])
    with pytest.raises(ValueError, match="values names 'a' more than once"):
        rank_with_uncertainty(twice, pd.DataFrame({"a": [1.0]}))


def test_repeated_columns():
    twice = pd.DataFrame([[1.0, 2.0]], columns=["a", "a"])
    with pytest.raises(ValueError, match="replicates names 'a' more than once"):
        rank_with_uncertainty(pd.Series({"a": 1.0}), twice)


def test_methods_without_replicates():
    with pytest.raises(ValueError, match=r"different methods: \['b'\]"):
        rank_with_uncertainty(pd.Series({"a": 1.0, "b": 2.0}), pd.DataFrame({"a": [1.0]}))


def test_replicates_without_methods():
    with pytest.raises(ValueError, match=r"different methods: \['b'\]"):
        rank_with_uncertainty(pd.Series({"a": 1.0}), pd.DataFrame({"a": [1.0], "b": [2.0]}))

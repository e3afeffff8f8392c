from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.statistics import criterion_ranks, metric_ranks
from harness.statistics.order_statistics import medians, percentiles
from harness.statistics.resampling import shared_weights
from tests.statistics.support import CELL, METRICS, brute_force, row, score_tables


def ranked(frame, **options):
    return criterion_ranks(frame, cell=CELL, **{"replicates": 20, **options})


def by_name(table, methods=None):
    table = table.set_index(["criterion", "method"]).sort_index()
    return table if methods is None else table.loc[(slice(None), methods), :]


def resampled(frame, weights, column):
    """The table in which every observation occurs as often as replicate `column` draws it."""
    places = {name: place for place, name in enumerate(sorted(frame["observation"].unique()))}
    parts = []
    for _, block in frame[frame["status"] == "ok"].groupby([*CELL, "metric"]):
        sample = tuple(sorted({places[name] for name in block["observation"]}))
        times = dict(zip(sample, weights[len(sample)][:, column], strict=True))
        parts.append(block.loc[block.index.repeat([int(times[places[name]]) for name in block["observation"]])])
    return pd.concat(parts)


@settings(max_examples=40)
@given(score_tables())
def test_mean_and_spread_agree_with_exact_arithmetic(frame):
    table = by_name(ranked(frame))
    expected = brute_force(frame, set(frame["method"]))
    assert set(table.index) == set(expected)
    for key, ranks in expected.items():
        assert table.loc[key, "mean_rank"] == pytest.approx(float(sum(ranks) / len(ranks)), abs=1e-12)
        assert table.loc[key, "rank_spread"] == pytest.approx(np.std([float(r) for r in ranks]), abs=1e-12)


@settings(max_examples=25)
@given(score_tables(), st.integers(0, 99))
def test_intervals_agree_with_ranking_every_resample_anew(frame, seed):
    replicates = 7
    names = sorted(frame["observation"].unique())
    weights = {size: shared_weights(size, replicates, seed) for size in range(1, len(names) + 1)}
    draws = [brute_force(resampled(frame, weights, r), set(frame["method"])) for r in range(1, replicates + 1)]
    table = by_name(ranked(frame, replicates=replicates, seed=seed))
    for key in table.index:
        means = [float(sum(draw[key]) / len(draw[key])) for draw in draws]
        found = table.loc[key, ["low", "high"]].astype(float)
        np.testing.assert_allclose(found, np.percentile(means, [2.5, 97.5]), atol=1e-9)
        best = [min(draw[rival] and sum(draw[rival]) for rival in draw if rival[0] == key[0]) for draw in draws]
        ties = [sum(sum(d[k]) == b for k in d if k[0] == key[0]) for d, b in zip(draws, best, strict=True)]
        votes = [(sum(d[key]) == b) / t for d, b, t in zip(draws, best, ties, strict=True)]
        assert table.loc[key, "p_best"] == pytest.approx(np.mean(votes))


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_weighted_order_statistics_are_those_of_the_resample(rows, n, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, size=(rows, n)).astype(float)
    weights = shared_weights(n, 5, seed)
    assert (weights.sum(axis=0) == n).all()
    assert (weights[:, 0] == 1).all()
    for column in range(6):
        resample = values[:, np.repeat(np.arange(n), weights[:, column])]
        low, high = (found[column] for found in percentiles(values, weights, (2.5, 97.5)))
        np.testing.assert_allclose([low, high], np.percentile(resample, [2.5, 97.5]))
        np.testing.assert_allclose(np.mean(medians(values, weights), axis=0)[:, column], np.median(resample, axis=1))


def test_the_bound_on_memory_changes_nothing(monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 8))
    weights = shared_weights(8, 50, 0)
    whole = percentiles(values, weights, (2.5, 97.5))
    monkeypatch.setattr("harness.statistics.order_statistics._ENTRIES", 7 * values.size)
    np.testing.assert_array_equal(percentiles(values, weights, (2.5, 97.5)), whole)


@settings(max_examples=40)
@given(score_tables(), st.randoms())
def test_order_of_rows_changes_nothing(frame, random):
    rows = list(frame.index)
    random.shuffle(rows)
    shuffled = frame.loc[rows].set_axis([0] * len(rows))  # and the index means nothing
    pd.testing.assert_frame_equal(ranked(shuffled), ranked(frame), check_exact=True)


@settings(max_examples=40)
@given(score_tables(), st.permutations("abcdefgh"))
def test_names_of_methods_are_only_names(frame, names):
    renaming = dict(zip("abcdefgh", names, strict=True))
    columns = ["mean_rank", "rank_spread", "low", "high", "rank", "rank_low", "rank_high", "p_best"]
    before, after = ranked(frame), ranked(frame.replace({"method": renaming}))
    before["method"] = before["method"].map(renaming)
    # Not the groups: which of several tied leaders a group is measured against goes by name.
    pd.testing.assert_frame_equal(by_name(before)[columns], by_name(after)[columns], check_exact=True)


@settings(max_examples=40)
@given(score_tables(), st.sampled_from([0.5, 4.0, 1024.0]), st.integers(-5, 5))
def test_units_of_a_metric_change_nothing(frame, scale, shift):
    changed = frame.assign(value=frame["value"].where(frame["metric"] != "k1", frame["value"] * scale + shift))
    pd.testing.assert_frame_equal(ranked(changed), ranked(frame))


@settings(max_examples=40)
@given(score_tables())
def test_direction_is_a_sign(frame):
    turned = frame.assign(
        value=-frame["value"], direction=frame["direction"].map({"higher": "lower", "lower": "higher"})
    )
    pd.testing.assert_frame_equal(ranked(turned), ranked(frame))


@settings(max_examples=40)
@given(score_tables(min_methods=2), st.data())
def test_an_incomplete_method_is_last_and_moves_nobody(frame, data):
    before = ranked(frame)
    newcomer = frame[frame["method"] == frame["method"].iloc[-1]].assign(
        method="0", value=data.draw(st.integers(-99, 99))
    )
    gaps = data.draw(st.sets(st.sampled_from(range(len(newcomer))), min_size=1))
    status = data.draw(st.sampled_from(["failed", "timeout", "absent"]))
    assume(len(gaps) < len(newcomer))
    broken = newcomer.index[sorted(gaps)]
    owed = newcomer.loc[broken, "criterion"].value_counts()
    newcomer.loc[broken, "value"] = np.nan
    newcomer.loc[broken, "status"] = status
    after = ranked(pd.concat([frame, newcomer[newcomer["status"] != "absent"]]))
    for criterion, of in after.groupby("criterion"):
        if criterion in owed.index:
            assert of["method"].iloc[-1] == "0"
            assert of.iloc[-1][["mean_rank", "rank_spread", "low", "high", "rank", "group", "p_best"]].isna().all()
            assert of["missing"].iloc[-1] == owed[criterion]
            old = before[before["criterion"] == criterion].reset_index(drop=True)
            pd.testing.assert_frame_equal(of.iloc[:-1].reset_index(drop=True), old, check_dtype=False)


@settings(max_examples=40)
@given(score_tables(min_methods=3), st.integers(1, 2))
def test_newcomers_move_nobody(frame, size):
    reference = sorted(frame["method"].unique())[-size:]  # never the one that is exempt
    alone = by_name(ranked(frame[frame["method"].isin(reference)]))
    joined = by_name(ranked(frame, reference=reference))
    pd.testing.assert_frame_equal(joined.loc[alone.index], alone)
    newcomers = [name for name in frame["method"].unique() if name not in reference]
    for name in newcomers:
        pair = by_name(ranked(frame[frame["method"].isin([*reference, name])], reference=reference))
        pd.testing.assert_frame_equal(pair, joined.loc[pair.index])
    expected = brute_force(frame, set(reference))
    for key in joined.index:
        assert joined.loc[key, "mean_rank"] == pytest.approx(float(sum(expected[key]) / len(expected[key])))


def test_observations_and_metrics_that_no_reference_method_has_are_not_compared():
    cell = ("m", "d")
    frame = pd.DataFrame([row(m, cell, "k1", o, v) for m, v in (("a", 1), ("b", 2), ("new", 3)) for o in "xy"])
    extra = [row("new", cell, "k1", "z", -50), row("new", cell, "k3", "x", 0), row("new", ("n", "d"), "k1", "x", 0)]
    more = pd.concat([frame, pd.DataFrame(extra)])
    pd.testing.assert_frame_equal(ranked(more, reference=["a", "b"]), ranked(frame, reference=["a", "b"]))


def test_a_newcomer_that_only_applies_where_no_complete_reference_does_is_unranked():
    frame = pd.DataFrame(
        [
            row("a", ("m1", "d"), "k1", "x", 1),
            row("a", ("m2", "d"), "k1", "x", None, "not-applicable"),
            row("b", ("m1", "d"), "k1", "x", None, "failed"),
            row("b", ("m2", "d"), "k1", "x", 3),
            row("new", ("m1", "d"), "k1", "x", None, "not-applicable"),
            row("new", ("m2", "d"), "k1", "x", 9),
        ]
    )
    table = ranked(frame, reference=["a", "b"]).set_index("method")
    assert table["mean_rank"].dropna().to_dict() == {"a": 1.0}
    assert table["missing"].to_dict() == {"a": 0, "b": 1, "new": 0}


def test_nobody_is_ranked_when_everybody_is_incomplete():
    frame = pd.DataFrame([row(m, ("m", "d"), "k1", o, 1) for m, o in (("a", "x"), ("b", "y"))])
    table = ranked(frame)
    assert table["method"].tolist() == ["a", "b"]
    assert table["mean_rank"].isna().all()
    assert table["missing"].tolist() == [1, 1]
    assert metric_ranks(frame, cell=CELL).empty


def test_one_method_and_a_constant_metric():
    frame = pd.DataFrame([row("only", ("m", "d"), "k1", o, 2.0) for o in range(4)])
    first = ranked(frame).iloc[0]
    assert first[["mean_rank", "rank_spread", "low", "high", "p_best", "group"]].tolist() == [1, 0, 1, 1, 1, 1]
    tied = ranked(pd.concat([frame, frame.assign(method="twin"), frame.assign(method="third")]))
    assert tied["mean_rank"].tolist() == [2.0, 2.0, 2.0]
    assert tied["p_best"].tolist() == pytest.approx([1 / 3] * 3)
    assert tied["group"].tolist() == [1, 1, 1]


def test_a_clear_order_is_certain_and_a_coin_toss_is_not():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 40))
    shift = {"clear": 9.0, "toss": 0.0, "up": 0.0}
    rows = [row(m, ("m", "d"), "k1", o, s + noise[i, o]) for i, (m, s) in enumerate(shift.items()) for o in range(40)]
    table = ranked(pd.DataFrame(rows), replicates=500).set_index("method")
    assert table.loc["clear", ["low", "high", "p_best", "group"]].tolist() == [1, 1, 1, 1]
    assert table.loc[["toss", "up"], "group"].tolist() == [2, 2]
    assert table.loc[["toss", "up"], ["low", "high"]].to_numpy().tolist() == [[2, 3], [2, 3]]


def test_cells_may_be_one_column_or_none():
    frame = pd.DataFrame([row(m, ("m", "d"), "k1", o, v) for m, v in (("a", 1), ("b", 2)) for o in "xy"])
    options = {"replicates": 5}
    pd.testing.assert_frame_equal(criterion_ranks(frame, cell="model", **options), ranked(frame, **options))
    pd.testing.assert_frame_equal(criterion_ranks(frame, cell=[], **options), ranked(frame, **options))


def test_metric_ranks_lists_scores_in_the_direction_of_the_metric():
    frame = pd.DataFrame(
        [row(m, ("m", "d"), k, o, v) for k in METRICS for m, v in (("a", 0), ("b", 1)) for o in range(100)]
    )
    ranks = metric_ranks(frame, cell=CELL).set_index(["method", "metric"])
    assert ranks["score"].to_dict() == {(m, k): float(m == "b") for m in "ab" for k in METRICS}
    assert ranks["rank"]["a"].to_dict() == {"k1": 2.0, "k2": 1.0, "k3": 1.0}


def test_a_full_board():
    """17 methods, 20 metrics, 9 cells, 50 observations, 1,000 replicates."""
    levels = [list("abcdefghijklmnopq"), range(9), range(20), range(50)]
    frame = pd.MultiIndex.from_product(levels, names=["method", "cell", "metric", "observation"]).to_frame(index=False)
    frame["value"] = np.random.default_rng(0).normal(size=len(frame))
    frame = frame.assign(status="ok", direction="lower", criterion=frame["metric"].map(lambda k: f"c{k // 7}"))
    table = criterion_ranks(frame, cell="cell")
    assert len(table) == 3 * 17

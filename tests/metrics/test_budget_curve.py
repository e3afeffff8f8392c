from __future__ import annotations

import math
from itertools import combinations, pairwise, product
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from harness.metrics.budget_curve import (
    aubc,
    final_performance,
    foreground_efficiency,
    foreground_efficiency_fit,
    foreground_efficiency_interval,
    mean_penalty,
    pairwise_penalty,
    share_lost,
)
from harness.statistics import holm

VALUE = st.integers(0, 100).map(lambda i: i / 100)
CURVE = st.lists(VALUE, min_size=2, max_size=12)
FULL = 0.9


@given(VALUE, st.integers(2, 20))
def test_a_constant_curve_has_its_own_area(value, loops):
    assert aubc([value] * loops) == pytest.approx(value, abs=1e-15)


@given(CURVE)
def test_area_of_trapezoids(curve):
    width = 1 / (len(curve) - 1)
    expected = math.fsum(width * (a + b) / 2 for a, b in pairwise(curve))
    assert aubc(curve) == pytest.approx(expected, abs=1e-14)
    assert aubc(curve[::-1]) == pytest.approx(expected, abs=1e-14)
    assert min(curve) - 1e-15 <= aubc(curve) <= max(curve) + 1e-15
    assert final_performance(curve) == curve[-1]


def test_a_rising_line():
    assert aubc([0, 0.25, 0.5, 0.75, 1]) == 0.5
    assert aubc([0, 0, 1]) == 0.25


def test_leading_axes_are_kept():
    runs = np.random.default_rng(0).random((3, 4, 5))
    assert aubc(runs).shape == final_performance(runs).shape == (3, 4)
    assert aubc(runs)[1, 2] == pytest.approx(aubc(runs[1, 2]), abs=1e-15)
    assert final_performance(runs)[1, 2] == runs[1, 2, -1]
    assert type(aubc(runs[0, 0])) is float


@pytest.mark.parametrize(
    ("curve", "cause"),
    [([0.5], "two loops"), ([], "empty"), ([0.5, np.nan], "finite"), (0.5, "dimension of loops"), (["a"], "real")],
)
def test_no_area(curve, cause):
    with pytest.raises(ValueError, match=cause):
        aubc(curve)


def planted(rates, *, x0=0.01, step=0.02, loops=5, gap=0.4, seeds=1):
    """Noiseless curves that share their start."""
    x = x0 + step * np.arange(loops)
    return {
        name: (np.tile(x, (seeds, 1)), np.tile(FULL - gap * np.exp(-b * (x - x0)), (seeds, 1)))
        for name, b in rates.items()
    }


@given(st.floats(0, 40), st.floats(0, 200), st.floats(0.05, 0.8))
def test_fit_recovers_planted_parameters(b1, b2, gap):
    fit = foreground_efficiency_fit(planted({"a": b1, "b": b2}, gap=gap), FULL)
    assert fit.efficiency == pytest.approx({"a": b1, "b": b2}, rel=1e-5, abs=1e-6)
    assert (fit.a, fit.c, fit.x0) == pytest.approx((gap, FULL, 0.01), abs=1e-12)
    assert max(fit.spread.values()) < 1e-4


@given(st.lists(st.floats(0.3, 0.9), min_size=8, max_size=8), st.floats(0.01, 0.2))
@example([0.5, 0.875, 0.75, 0.5, 0.5, 0.875, 0.75, 0.75], 0.125)
@settings(max_examples=50)
def test_fit_is_the_least_squares_optimum(values, step):
    x = np.tile(0.02 + step * np.arange(4), (2, 1))
    y = np.array(values).reshape(2, 4)
    y[:, 0] = 0.4
    assume((FULL - y[:, 1]).mean() > 0.01)  # else the best curve closes the gap at once
    b = foreground_efficiency({"a": (x, y)}, FULL)["a"]

    grid = np.linspace(-100, 1500, 200_001)
    with np.errstate(over="ignore"):
        losses = sum(
            (FULL - 0.5 * np.exp(-grid * (xi - 0.02)) - yi) ** 2 for xi, yi in zip(x.flat, y.flat, strict=True)
        )
    best = grid[np.argmin(losses)]
    own = np.sum((FULL - 0.5 * np.exp(-b * (x - 0.02)) - y) ** 2)
    assert own <= losses.min() * (1 + 1e-7)  # what the search for b leaves
    assert b == pytest.approx(best, rel=1e-2, abs=2e-2) or own == pytest.approx(losses.min(), abs=1e-6)


def test_start_comes_from_the_runs_with_the_least_foreground():
    # Runs start at .05, .03, .03 and, of another method, .04: a = .9 - mean(.4, .5).
    curves = {
        "a": ([[0.05, 0.1], [0.03, 0.1], [0.03, 0.1]], [[0.1, 0.8], [0.4, 0.8], [0.5, 0.8]]),
        "b": ([[0.04, 0.1]], [[0.5, 0.7]]),
    }
    fit = foreground_efficiency_fit(curves, FULL)
    assert (fit.x0, fit.a) == pytest.approx((0.03, 0.45), abs=1e-15)
    assert fit.efficiency["b"] == pytest.approx(brute_rate([0.01, 0.07], [0.4, 0.2], 0.45), rel=1e-4)


def brute_rate(distance, gap, a, high=200):
    grid = np.linspace(-50, high, 2_500_001)
    losses = sum((g - a * np.exp(-grid * d)) ** 2 for d, g in zip(distance, gap, strict=True))
    return grid[np.argmin(losses)]


def test_shape_and_order_of_runs_are_irrelevant():
    rng = np.random.default_rng(1)
    x, y = planted({"a": 20}, seeds=4)["a"]
    y = y - 0.05 * rng.random(y.shape)
    order = rng.permutation(y.size)
    pooled = foreground_efficiency({"a": (x.ravel()[order], y.ravel()[order])}, FULL)
    assert pooled == pytest.approx(foreground_efficiency({"a": (x, y)}, FULL), rel=1e-6)


def test_worse_than_the_start_is_negative():
    assert foreground_efficiency({"a": ([0.1, 0.2, 0.3], [0.5, 0.4, 0.3])}, FULL)["a"] < 0


def test_spread_is_the_standard_error_or_its_published_square():
    x, y = planted({"a": 20}, seeds=3)["a"]
    y = y + np.random.default_rng(2).normal(0, 0.02, y.shape).clip(-0.05, 0.0)
    strict = foreground_efficiency_fit({"a": (x, y)}, FULL)
    published = foreground_efficiency_fit({"a": (x, y)}, FULL, compatibility="nnactive")
    b, a, d = strict.efficiency["a"], strict.a, x - 0.01
    residual = y - (FULL - a * np.exp(-b * d))
    variance = np.sum(residual**2) / (y.size - 1) / np.sum((a * d * np.exp(-b * d)) ** 2)
    assert strict.spread["a"] == pytest.approx(math.sqrt(variance), rel=1e-4)
    assert published.spread["a"] == pytest.approx(variance, rel=1e-4)


def test_a_fit_that_stops_short_of_the_optimum_is_started_again():
    x, y = [0.0069, 0.0075, 0.0188], [0.3134, 0.5132, 0.7703]
    optimum = brute_rate([0, 0.0006, 0.0119], [FULL - v for v in y], FULL - y[0], high=2000)
    assert optimum > 600
    assert foreground_efficiency({"a": (x, y)}, FULL)["a"] == pytest.approx(optimum, rel=1e-4)
    assert foreground_efficiency({"a": (x, y)}, FULL, compatibility="nnactive")["a"] < 200


NEAR = [0.01, 0.03, 0.05], [0.5, 0.7, 0.905]


def test_performance_above_full_data_is_refused_beyond_the_tolerance():
    assert foreground_efficiency({"a": NEAR}, FULL)["a"] > 0
    with pytest.raises(ValueError, match=r"'a' performs at 0\.905, above the full-data performance 0\.9"):
        foreground_efficiency({"a": NEAR}, FULL, tolerance=0)
    with pytest.raises(ValueError, match=r"above the full-data performance 0\.8"):
        foreground_efficiency({"a": NEAR}, 0.8)
    assert foreground_efficiency({"a": NEAR}, 0.8, compatibility="nnactive")["a"] > 0


@pytest.mark.parametrize(
    ("curves", "full", "cause"),
    [
        ({}, 0.9, "curves is empty"),
        ({"a": ([0.1, 0.2], [0.9, 0.9])}, 0.9, "is not below that of full data"),
        ({"a": ([0.1, 0.1], [0.5, 0.6])}, 0.9, "'a' does not determine"),
        ({"a": ([0.1, 0.2], [0.5, 0.9])}, 0.9, "'a' does not determine"),
        ({"a": ([0.1, 0.2, 0.3, 0.4], [0.5, 0.9, 0.898, 0.9])}, 0.9, "'a' does not determine"),
        ({"a": ([0.1, 0.2], [0.5])}, 0.9, "shape"),
        ({"a": ([0.1, 0.2], [0.5, np.nan])}, 0.9, "performance of 'a' must be finite"),
        ({"a": ([10, 20], [0.5, 0.6])}, 0.9, "fraction of 'a' must lie in"),
        ({"a": ([0.1, 0.2], [50, 60])}, 0.9, "performance of 'a' must lie in"),
        ({"a": ([0.1, 0.2], [0.5, 0.6])}, 90, "full_performance must lie in"),
        ({"a": ([], [])}, 0.9, "empty"),
    ],
)
def test_no_efficiency(curves, full, cause):
    with pytest.raises(ValueError, match=cause):
        foreground_efficiency(curves, full)


@pytest.mark.parametrize("options", [{"tolerance": -1}, {"tolerance": np.nan}, {"compatibility": "other"}])
def test_bad_options_of_the_efficiency(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        foreground_efficiency({"a": NEAR}, FULL, **options)


def noisy(rates, seeds, scale=0.02):
    rng = np.random.default_rng(3)
    return {
        name: (x + 0.005 * rng.random(x.shape), y - scale * rng.random(y.shape))
        for name, (x, y) in planted(rates, seeds=seeds).items()
    }


def test_interval_holds_the_value_and_repeats():
    curves = noisy({"slow": 10, "fast": 30}, seeds=4)
    intervals = foreground_efficiency_interval(curves, FULL, n=200, seed=1)
    again = foreground_efficiency_interval(curves, FULL, n=200, seed=1)
    assert intervals == again
    values = foreground_efficiency(curves, FULL)
    for name, interval in intervals.items():
        assert interval.value == values[name]
        assert interval.low < interval.value < interval.high
        assert interval.undefined == 0
    assert intervals["slow"].high < intervals["fast"].low


def test_interval_of_three_seeds_is_that_of_all_their_resamples():
    # With a probability of at least 1/27 each, the lowest and the highest lie within the 2.5 % that are cut off.
    curves = noisy({"a": 15, "b": 25}, seeds=3)
    resampled = [
        foreground_efficiency({name: (x[rows], y[rows]) for name, (x, y) in curves.items()}, FULL)
        for rows in map(list, product(range(3), repeat=3))
    ]
    for name, interval in foreground_efficiency_interval(curves, FULL, n=2000).items():
        values = [each[name] for each in resampled]
        assert len({round(value, 4) for value in values}) == 10
        assert (interval.low, interval.high) == pytest.approx((min(values), max(values)), rel=1e-6)


def test_equal_seeds_leave_no_interval():
    for b, interval in zip(
        (12, 34), foreground_efficiency_interval(planted({"a": 12, "b": 34}, seeds=3), FULL, n=50).values(), strict=True
    ):
        assert (interval.low, interval.high) == pytest.approx((b, b), rel=1e-5)


def test_resamples_without_a_fit_are_counted():
    x = [[0.01, 0.03, 0.05], [0.02, 0.04, 0.06]]
    y = [[0.5, 0.7, 0.8], [0.9, 0.9, 0.9]]  # drawn alone, the second seed starts at full performance
    interval = foreground_efficiency_interval({"a": (x, y)}, FULL, n=400)["a"]
    assert 60 < interval.undefined < 140  # a quarter of them
    assert np.isfinite([interval.low, interval.high]).all()


@pytest.mark.parametrize(
    ("shapes", "cause"),
    [([(4,)], "arrays \\(seeds, loops\\)"), ([(1, 4)], "two seeds"), ([(2, 4), (3, 4)], "same seeds")],
)
def test_interval_needs_seeds(shapes, cause):
    curves = {str(i): (np.linspace(0.1, 0.2, 4) + np.zeros(s), np.full(s, 0.5)) for i, s in enumerate(shapes)}
    with pytest.raises(ValueError, match=cause):
        foreground_efficiency_interval(curves, FULL)


def table(values, budgets=None):
    """Long table of {method: (budgets, seeds)}."""
    rows = [
        (method, budget, seed, value)
        for method, runs in values.items()
        for budget, of in enumerate(runs)
        for seed, value in enumerate(of)
    ]
    return pd.DataFrame(rows, columns=["method", "budget", "seed", "value"])


def p_of_three(differences):
    """Two-sided p of a paired t-test with two degrees of freedom, whose distribution has a closed form."""
    sd = stdev(differences)
    if sd < 1e-12:
        return 1.0 if abs(mean(differences)) < 1e-12 else 0.0
    t = abs(mean(differences)) / (sd / math.sqrt(3))
    return 1 - t / math.sqrt(2 + t * t)


def brute_penalty(values, alpha, correction):
    tests = []
    for a, b in combinations(values, 2):
        for runs_a, runs_b in zip(values[a], values[b], strict=True):
            differences = [x - y for x, y in zip(runs_a, runs_b, strict=True)]
            tests.append((p_of_three(differences), a if mean(differences) > 0 else b, {a, b}))
    tests.sort(key=lambda test: test[0])
    won = {(a, b): 0 for a in values for b in values}
    for place, (p, winner, pair) in enumerate(tests):
        if p >= alpha / (len(tests) - place if correction else 1):
            break  # Holm's procedure stops at the first test it keeps; uncorrected, all later ones are larger too
        (loser,) = pair - {winner}
        won[winner, loser] += 1
    budgets = len(next(iter(values.values())))
    return [[won[a, b] / budgets for b in values] for a in values]


RUNS = st.lists(st.lists(VALUE, min_size=3, max_size=3), min_size=3, max_size=3)
THREE = st.tuples(RUNS, RUNS, RUNS).map(lambda runs: dict(zip("abc", runs, strict=True)))


@given(THREE, st.sampled_from([0.05, 0.2, 0.5]), st.booleans())
@settings(max_examples=60)
def test_penalty_equals_its_definition(values, alpha, correct):
    every = [
        p_of_three([x - y for x, y in zip(p, q, strict=True)])
        for a, b in combinations(values.values(), 2)
        for p, q in zip(a, b, strict=True)
    ]
    assume(all(abs(p * k - alpha) > 1e-9 for p in every for k in range(1, 10)))
    frame = table(values).sample(frac=1, random_state=0)
    found = pairwise_penalty(frame, alpha=alpha, correction="holm" if correct else None)
    assert list(found.index) == list(found.columns) == ["a", "b", "c"]
    np.testing.assert_allclose(found, brute_penalty(values, alpha, correct), atol=1e-12)


@given(THREE)
@settings(max_examples=40)
def test_penalty_reverses_with_the_sign_and_holm_only_removes(values):
    frame = table(values)
    penalty = pairwise_penalty(frame)
    reversed_ = pairwise_penalty(frame.assign(value=1 - frame["value"]))
    np.testing.assert_array_equal(reversed_, penalty.T)
    assert (penalty + penalty.T <= 1 + 1e-12).to_numpy().all()
    assert (np.diag(penalty) == 0).all()
    assert (pairwise_penalty(frame, correction="holm") <= penalty).to_numpy().all()


@given(RUNS)
@settings(max_examples=20)
def test_identical_methods_have_no_penalty(runs):
    assert not pairwise_penalty(table({"a": runs, "b": runs})).to_numpy().any()


def test_rounding_errors_are_no_difference():
    a, b = 0.1 + 0.2, 0.3
    assert a != b
    assert not pairwise_penalty(table({"a": [[a] * 3], "b": [[b] * 3]})).to_numpy().any()
    base = np.array([0.3, 0.4, 0.45, 0.9, 0.95])
    assert not pairwise_penalty(table({"a": [np.nextafter(base, 1)], "b": [base]})).to_numpy().any()


def test_the_same_gain_for_every_seed_is_significant():
    # t is infinite. The second budget has the same gain up to rounding: 1 - .9 is not .1.
    penalty = pairwise_penalty(table({"a": [[0.6, 0.5], [1.0, 0.2]], "b": [[0.5, 0.4], [0.9, 0.1]]}))
    assert penalty.loc["a", "b"] == 1
    assert penalty.loc["b", "a"] == 0


def test_holm_adjusts_by_rank_and_keeps_the_order():
    # .005 · 4, .01 · 3, .03 · 2, and .04 · 1 lifted to the one before.
    np.testing.assert_allclose(holm(np.array([[0.01, 0.04], [0.03, 0.005]])), [[0.03, 0.06], [0.06, 0.02]], rtol=1e-12)
    assert holm(np.array([0.5, 0.9])).tolist() == [1, 1]


def paired_runs():
    """`better` gains .01 to .03 on each seed, far less than seeds differ."""
    base = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    return {"better": [base + np.array([0.01, 0.02, 0.03, 0.02, 0.01])], "worse": [base]}


def test_runs_are_paired_by_seed_and_not_by_row():
    frame = table(paired_runs())
    mixed = pd.concat([frame[frame["method"] == "better"], frame[frame["method"] == "worse"].iloc[[3, 0, 4, 1, 2]]])
    for each in (frame, mixed):
        assert pairwise_penalty(each).loc["better", "worse"] == 1
    assert pairwise_penalty(frame, pairing="nnactive").loc["better", "worse"] == 1
    assert pairwise_penalty(mixed, pairing="nnactive").loc["better", "worse"] == 0


def test_names_of_columns():
    frame = table(paired_runs())
    renamed = frame.rename(columns={"method": "m", "budget": "patches", "seed": "s", "value": "dice"})
    found = pairwise_penalty(renamed, method="m", budget="patches", seed="s", value="dice")
    pd.testing.assert_frame_equal(found, pairwise_penalty(frame))


def spoiled(change):
    frame = table({"a": [[0.1, 0.2], [0.3, 0.4]], "b": [[0.2, 0.1], [0.4, 0.3]]})
    return change(frame)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda f: f.drop(columns="seed"), "lacks the columns \\['seed'\\]"),
        (lambda f: f.iloc[:0], "is empty"),
        (lambda f: f.assign(value=f["value"].where(f.index > 0)), "empty entries"),
        (lambda f: f.assign(value=f["value"].where(f.index > 0, np.inf)), "finite numbers"),
        (lambda f: f.assign(value=f["value"].astype(str)), "finite numbers"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "repeated row"),
        (lambda f: f.drop(index=0), "does not have the seeds"),
        (lambda f: f[(f["method"] != "a") | (f["budget"] != 1)], "no run of the methods \\['a'\\] at the budget 1"),
        (lambda f: f[f["seed"] == 0], "two seeds"),
    ],
)
def test_bad_tables(change, cause):
    with pytest.raises(ValueError, match=cause):
        pairwise_penalty(spoiled(change))


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 1}, {"correction": "bonferroni"}, {"pairing": "row"}])
def test_bad_options_of_the_penalty(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        pairwise_penalty(table(paired_runs()), **options)


def test_share_lost_and_mean_over_settings():
    first = pd.DataFrame([[0, 1, 0.5], [0, 0, 0], [0.5, 0.25, 0]], index=[*"abc"], columns=[*"abc"])
    second = pd.DataFrame([[0, 0, 0.5], [1, 0, 0], [0, 0.25, 0]], index=[*"abc"], columns=[*"abc"])
    assert share_lost(first).to_dict() == {"a": 0.25, "b": 0.625, "c": 0.25}
    both = mean_penalty([first, second])
    assert both.to_numpy().tolist() == [[0, 0.5, 0.5], [0.5, 0, 0], [0.25, 0.25, 0]]
    assert first.loc["a"].tolist() == [0, 1, 0.5]
    with pytest.raises(ValueError, match="do not have the same methods"):
        mean_penalty([first, second.iloc[:2, :2]])
    with pytest.raises(ValueError, match="no pairwise penalty"):
        mean_penalty([])
    with pytest.raises(ValueError, match="without rivals"):
        share_lost(first.iloc[:1, :1])

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import studentized_range, wilcoxon

from harness.statistics import nemenyi_difference, pairwise_tests, random_agreement
from tests.statistics.support import rank_table

needs_posthocs = pytest.mark.skipif(
    importlib.util.find_spec("scikit_posthocs") is None, reason="scikit-posthocs is not installed"
)


def scores(orders):
    """One observation per score; orders: (metrics, methods), lower is better."""
    return pd.DataFrame(
        {"method": f"m{i}", "cell": 0, "metric": f"k{k}", "criterion": "c", "direction": "lower"}
        | {"observation": 0, "value": value, "status": "ok"}
        for k, order in enumerate(orders)
        for i, value in enumerate(order)
    )


def brown_forsythe(a, b):
    """The p-value from the textbook: one-way ANOVA of distances to the group's median."""
    groups = [np.abs(x - np.median(x)) for x in (np.asarray(a, float), np.asarray(b, float))]
    everything = np.concatenate(groups)
    between = sum(len(g) * (g.mean() - everything.mean()) ** 2 for g in groups)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(everything) - 2)
    return f_distribution.sf(between / within, 1, len(everything) - 2)


def test_levene_against_every_rank_equally_often():
    orders = [np.random.default_rng(seed).permutation(10) for seed in range(6)]
    table = random_agreement(scores(orders), cell="cell").set_index("method")
    chance = list(range(1, 11)) * 100
    for i in range(10):
        own = [order[i] + 1 for order in orders]
        assert table.loc[f"m{i}", "p_value"] == pytest.approx(brown_forsythe(own, chance))
        assert table.loc[f"m{i}", "variance"] == pytest.approx(np.var(own))
        expected = brown_forsythe(own, chance) < 0.1 and np.var(own) <= (10**2 - 1) / 12
        assert table.loc[f"m{i}", "consistent"] == expected


def test_agreeing_metrics_are_consistent_and_extreme_disagreement_is_not():
    same = random_agreement(scores([range(14)] * 6), cell="cell")
    assert same["consistent"].all()
    assert (same["variance"] == 0).all()
    opposite = random_agreement(scores([range(14), range(13, -1, -1)] * 5), cell="cell").set_index("method")
    assert opposite.loc["m0", "p_value"] < 0.1  # far from chance, but on the side of disagreement
    assert not opposite.loc["m0", "consistent"]


def test_too_little_to_test():
    table = random_agreement(scores([range(3)]), cell="cell")
    assert table["p_value"].isna().all()
    assert not table["consistent"].any()
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        random_agreement(scores([range(3)]), cell="cell", alpha=1)


def ranks(seed=0, methods=5, metrics=9):
    rng = np.random.default_rng(seed)
    return {f"k{k}": {f"m{i}": float(r + 1) for i, r in enumerate(rng.permutation(methods))} for k in range(metrics)}


@needs_posthocs
def test_nemenyi_is_the_studentized_range_of_mean_ranks():
    columns = ranks()
    table = pairwise_tests(rank_table("c", columns))
    assert len(table) == 10
    mean = {m: np.mean([column[m] for column in columns.values()]) for m in columns["k0"]}
    for found in table.to_dict("records"):
        distance = abs(mean[found["method_a"]] - mean[found["method_b"]]) / np.sqrt(5 * 6 / (6 * 9))
        expected = studentized_range.sf(distance * np.sqrt(2), 5, np.inf)
        assert found["p_value"] == pytest.approx(expected, abs=1e-3)


@needs_posthocs
def test_wilcoxon_is_corrected_by_holm():
    columns = ranks(methods=4)
    table = pairwise_tests(rank_table("c", columns), test="wilcoxon")
    raw = [
        wilcoxon(*([column[pair[name]] for column in columns.values()] for name in ("method_a", "method_b")),
                 zero_method="zsplit").pvalue
        for pair in table.to_dict("records")
    ]  # fmt: skip
    order, corrected, largest = np.argsort(raw), np.empty(len(raw)), 0.0
    for step, i in enumerate(order):
        largest = max(largest, min(1.0, raw[i] * (len(raw) - step)))
        corrected[i] = largest
    np.testing.assert_allclose(table["p_value"], corrected)


def test_pairwise_tests_say_what_is_missing(monkeypatch):
    table = rank_table("c", ranks())
    with pytest.raises(ValueError, match="test must be 'nemenyi' or 'wilcoxon', not 't'"):
        pairwise_tests(table, test="t")
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-posthocs"):
        pairwise_tests(table)


@pytest.mark.parametrize(("methods", "blocks"), [(3, 5), (7, 20), (17, 30)])
def test_the_critical_difference_is_where_nemenyis_p_is_alpha(methods, blocks):
    statistic = nemenyi_difference(methods, blocks, 0.05) / np.sqrt(methods * (methods + 1) / (6 * blocks))
    assert studentized_range.sf(statistic * np.sqrt(2), methods, np.inf) == pytest.approx(0.05, abs=1e-6)


def test_the_critical_difference_of_demsars_table():
    # Demšar 2006, table 5: q of 0.05 is 2.343 for three classifiers, 3.164 for ten.
    assert nemenyi_difference(3, 10) == pytest.approx(2.343 * np.sqrt(3 * 4 / 60), abs=2e-3)
    assert nemenyi_difference(10, 14) == pytest.approx(3.164 * np.sqrt(10 * 11 / 84), abs=2e-3)
    assert nemenyi_difference(2, 10) == nemenyi_difference(5, 1) == np.inf

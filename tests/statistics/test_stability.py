from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from harness.statistics import stability
from tests.statistics.support import CELL, METRICS, brute_force, row, score_tables


def means(frame, criterion):
    frame = frame[frame["status"] == "ok"]  # a method whose last cell is left out is no longer ranked
    found = brute_force(frame, set(frame["method"]))
    return {m: float(sum(ranks) / len(ranks)) for (c, m), ranks in found.items() if c == criterion}


@settings(max_examples=30)
@given(score_tables())
def test_shifts_are_those_of_ranking_the_rest_anew(frame):
    table = stability(frame, cell=CELL)
    for found in table.to_dict("records"):
        criterion, left_out = found["criterion"], found["left_out"]
        if found["part"] == "metric":
            rest = frame[frame["metric"] != left_out]
        else:
            rest = frame[(frame["model"] != left_out[0]) | (frame["data"] != left_out[1])]
        before, after = means(frame, criterion), means(rest, criterion)
        assert found["methods"] == len(after)
        shifts = {m: abs(after[m] - before[m]) for m in sorted(after)}
        if shifts:
            assert found["mean_shift"] == pytest.approx(np.mean(list(shifts.values())))
            assert found["max_shift"] == pytest.approx(max(shifts.values()))
            assert shifts[found["moved_most"]] == pytest.approx(max(shifts.values()))
        else:
            assert np.isnan([found["tau"], found["mean_shift"], found["max_shift"]]).all()
    cells, metrics = len(frame[CELL].drop_duplicates()), set(frame["metric"])
    criteria = {METRICS[metric][0] for metric in metrics}
    assert len(table) == len(metrics) + cells * len(criteria)


def test_one_metric_against_two():
    """k1 (higher) orders a before b, k2 (lower) b before a by much the same values."""
    values = {"a": 1, "b": 0}
    frame = pd.DataFrame([row(m, ("m", "d"), k, "x", v) for k in ("k1", "k2") for m, v in values.items()])
    table = stability(frame, cell=CELL).set_index("left_out")
    assert table.loc[["k1", "k2"], "max_shift"].tolist() == [0.5, 0.5]
    assert table.loc[[("m", "d")], "methods"].tolist() == [0]


def test_a_method_that_is_complete_only_without_the_part_does_not_come_in():
    scores = {"a": 1, "b": 2, "late": 0}
    frame = pd.DataFrame([row(m, (c, "d"), "k2", "x", v) for c in ("m1", "m2") for m, v in scores.items()])
    frame.loc[(frame["method"] == "late") & (frame["model"] == "m1"), "status"] = "failed"
    table = stability(frame, cell="model")
    for model in ("m1", "m2"):
        without = table[(table["part"] == "cell") & table["left_out"].isin([(model,)])]
        assert without[["methods", "tau", "max_shift"]].to_numpy().tolist() == [[2, 1, 0]]


def test_a_reference_stays_the_reference():
    scores = {"a": 1, "b": 2, "new": 0, "newer": -1}
    frame = pd.DataFrame([row(m, (c, "d"), "k2", "x", v) for c in ("m1", "m2") for m, v in scores.items()])
    table = stability(frame, cell="model", reference=["a", "b"])
    assert table.loc[table["part"] == "cell", "max_shift"].tolist() == [0, 0]

"""Tables of scores that must be refused, each with its reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.statistics import criterion_ranks, metric_ranks
from tests.statistics.support import CELL, row


@pytest.fixture
def frame():
    return pd.DataFrame([row(m, ("m", "d"), k, o, 1.0) for m in "ab" for k in ("k1", "k3") for o in "xy"])


def changed(frame, column, value, place=0):
    return frame.assign(**{column: [value if i == place else v for i, v in enumerate(frame[column])]})


@pytest.mark.parametrize("value", [np.nan, None, np.inf, -np.inf])
def test_status_ok_needs_a_finite_value(frame, value):
    with pytest.raises(ValueError, match=r"status 'ok' without a finite value: .*'method': 'a'.*'metric': 'k1'"):
        metric_ranks(changed(frame, "value", value), cell=CELL)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("direction", "up", r"direction must be 'higher' or 'lower', not \['up'\]"),
        ("direction", "lower", "metric 'k1' has more than one direction or criterion"),
        ("criterion", "other", "metric 'k1' has more than one direction or criterion"),
        ("observation", "y", r"repeated row: .*'observation': 'y'"),
        ("method", None, "column 'method' has empty entries"),
        ("model", None, "column 'model' has empty entries"),
        ("status", None, "column 'status' has empty entries"),
        ("status", "not-applicable", "metric 'k1' is 'not-applicable' for some observations of a cell"),
    ],
)
def test_contradictions(frame, column, value, reason):
    with pytest.raises(ValueError, match=reason):
        metric_ranks(changed(frame, column, value), cell=CELL)


def test_tables_without_content(frame):
    with pytest.raises(ValueError, match="is empty"):
        criterion_ranks(frame.iloc[:0], cell=CELL)
    with pytest.raises(ValueError, match=r"lacks the columns \['status', 'seed'\]"):
        criterion_ranks(frame.drop(columns="status"), cell=["seed"])
    with pytest.raises(ValueError, match="no score applies"):
        criterion_ranks(frame.assign(status="not-applicable"), cell=CELL)


def test_arguments(frame):
    with pytest.raises(ValueError, match=r"names methods without scores: \['z'\]"):
        criterion_ranks(frame, cell=CELL, reference=["a", "z"])
    with pytest.raises(ValueError, match="reference is empty"):
        criterion_ranks(frame, cell=CELL, reference=[])
    with pytest.raises(ValueError, match="replicates must be at least 1"):
        criterion_ranks(frame, cell=CELL, replicates=0)
    with pytest.raises(ValueError, match=r"\['metric'\] cannot be cell columns"):
        criterion_ranks(frame, cell=["metric"])


def test_values_under_another_status_are_not_read(frame):
    failed = changed(frame, "status", "failed")
    table = criterion_ranks(changed(failed, "value", 1e9), cell=CELL, replicates=3)
    pd.testing.assert_frame_equal(table, criterion_ranks(changed(failed, "value", None), cell=CELL, replicates=3))


def test_the_input_is_not_changed(frame):
    before = frame.copy(deep=True)
    criterion_ranks(frame, cell=CELL, replicates=3)
    pd.testing.assert_frame_equal(frame, before)

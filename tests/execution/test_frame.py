"""The long table of a run: values with the intervals that they have."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from tests.cli.support import write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def result(tmp_path: Path) -> harness.RunResult:
    toy = write_toy(tmp_path)
    return harness.evaluate(tmp_path / "margin.py", benchmark=str(toy), out=tmp_path / "runs", progress=False)


def test_every_value_has_its_interval(result: harness.RunResult) -> None:
    frame = result.to_frame()
    assert set(frame["metric"]) == {"augrc", "failure_auroc", "failure_rate"}
    assert len(frame) == 6
    counted = frame["metric"] == "failure_rate"
    assert frame.loc[counted, ["low", "high"]].isna().all(axis=None)
    frame = frame[~counted]
    assert frame[["value", "low", "high"]].notna().all(axis=None)
    assert (frame["low"] < frame["value"]).all()
    assert (frame["value"] < frame["high"]).all()


def test_one_network_has_the_interval_of_all(result: harness.RunResult) -> None:
    """Of the same samples and resamples."""
    frame = result.to_frame().set_index(["metric", "model"])[["low", "high"]]
    for metric in ("augrc", "failure_auroc"):
        np.testing.assert_array_equal(frame.loc[(metric, "one")], frame.loc[(metric, "all")])


def test_a_run_that_was_opened_has_the_same(result: harness.RunResult) -> None:
    pd.testing.assert_frame_equal(harness.RunResult.open(result.folder).to_frame(), result.to_frame())


def test_without_the_answers_or_the_benchmark_units_have_none(result: harness.RunResult) -> None:
    whole = result.to_frame()
    shutil.rmtree(result.folder / "outputs")
    spared = harness.RunResult.open(result.folder).to_frame()
    of_units = whole["model"] != "all"
    assert spared.loc[of_units, ["low", "high"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(spared[~of_units], whole[~of_units])
    pd.testing.assert_series_equal(spared["value"], whole["value"])
    pd.testing.assert_frame_equal(result.to_frame(intervals=False), spared)
    (result.folder.parents[1] / "toy.toml").unlink()
    pd.testing.assert_frame_equal(harness.RunResult.open(result.folder).to_frame(), spared)

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
    assert len(frame) == 3
    counted = frame["metric"] == "failure_rate"
    assert frame.loc[counted, ["low", "high"]].isna().all(axis=None)
    frame = frame[~counted]
    assert frame[["value", "low", "high"]].notna().all(axis=None)
    assert (frame["low"] < frame["value"]).all()
    assert (frame["value"] < frame["high"]).all()


def test_one_network_has_the_interval_of_all(result: harness.RunResult) -> None:
    """Of the same samples and resamples."""
    units, means = (result.to_frame(summary=each).set_index("metric") for each in (False, True))
    for metric in ("augrc", "failure_auroc"):
        np.testing.assert_array_equal(units.loc[metric, ["low", "high"]], means.loc[metric, ["low", "high"]])


def test_units_and_means_over_them_do_not_mix(result: harness.RunResult) -> None:
    units, means = result.to_frame(), result.to_frame(summary=True)
    assert set(units["model"]) == {"one"}
    assert units["seed"].notna().all()
    assert set(means["model"]) == {"all"}
    assert means["seed"].isna().all()
    assert not units.duplicated(["study", "model", "seed", "metric"]).any()
    pd.testing.assert_series_equal(
        units.groupby("metric")["value"].mean(), means.set_index("metric")["value"].sort_index()
    )


def test_a_run_that_was_opened_has_the_same(result: harness.RunResult) -> None:
    pd.testing.assert_frame_equal(harness.RunResult.open(result.folder).to_frame(), result.to_frame())


def test_without_the_answers_or_the_benchmark_units_have_none(result: harness.RunResult) -> None:
    whole, means = result.to_frame(), result.to_frame(summary=True)
    shutil.rmtree(result.folder / "outputs")
    opened = harness.RunResult.open(result.folder)
    spared = opened.to_frame()
    assert spared[["low", "high"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(opened.to_frame(summary=True), means)
    pd.testing.assert_series_equal(spared["value"], whole["value"])
    pd.testing.assert_frame_equal(result.to_frame(intervals=False), spared)
    (result.folder.parents[1] / "toy.toml").unlink()
    pd.testing.assert_frame_equal(harness.RunResult.open(result.folder).to_frame(), spared)

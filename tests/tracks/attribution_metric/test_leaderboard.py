"""How metrics compare: the five views, their mean, rows that move nobody, and what is owed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.spec.method import AttributionMetricMethod
from harness.tracks.attribution_metric.leaderboard import (
    AGREEMENT,
    COLUMNS,
    OVERALL,
    STABILITY,
    AttributionMetricLeaderboard,
)
from harness.tracks.leaderboard import Entry
from tests.tracks.attribution_metric.support import INSIDE, answers, write_meta_benchmark
from tests.tracks.support import cells_of, measured, summary, tied_with


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def board(tmp_path):
    return AttributionMetricLeaderboard(load_protocol(write_meta_benchmark(tmp_path)))


def entry(name: str, value: float, reference: bool = False, **changes: np.ndarray) -> Entry:
    """A metric of this worth in every column, with its own scatter."""
    method = AttributionMetricMethod(
        task="attribution-metric", name=name, version="1", origin="file", target="f.py:f", symbol="f",
        source_sha256="0" * 64, reference=reference, higher_is_better=True, criterion="faithfulness",
    )  # fmt: skip
    noise = 0.01 * np.random.default_rng(0).normal(size=60)
    arrays = {column: np.concatenate([[value], value + noise]) for column in COLUMNS}
    return Entry(method, {**arrays, **changes}, 2, 2)


def test_an_entry_holds_what_the_units_say(tmp_path):
    track, found = answers(tmp_path)
    board = AttributionMetricLeaderboard(track.protocol)
    arrays = board.entry(track, measured(track, found))
    rows = {row.metric: row.value for row in summary(track, found)}
    assert arrays[AGREEMENT][0] == pytest.approx(rows["tau_faithfulness"])
    for column, metric in (("power", "power"), ("sanity", "sanity"), ("randomisation", "randomisation_effect")):
        assert arrays[column][0] == pytest.approx(rows[metric])
    assert arrays[STABILITY][0] == pytest.approx((rows["half_concordance"] + rows["seed_concordance"]) / 2)
    assert arrays[OVERALL][0] == pytest.approx(np.mean([arrays[column][0] for column in COLUMNS[:-1]]))
    assert {array.shape for array in arrays.values()} == {(61,)}


def test_without_agreement_there_is_no_overall(tmp_path):
    track, found = answers(tmp_path, INSIDE.replace('"faithfulness"', '"robustness"'))
    arrays = AttributionMetricLeaderboard(track.protocol).entry(track, measured(track, found))
    assert not {AGREEMENT, OVERALL} & arrays.keys()
    assert {"power", "sanity", STABILITY} <= arrays.keys()


def test_higher_is_better_in_every_column(board):
    cells = cells_of(board, [entry("good", 0.9), entry("bad", 0.1), entry("chance", 0.5, reference=True)])
    for column in COLUMNS:
        assert {name: cell.rank for name, cell in cells[column].items()} == {"good": 1, "bad": 2, "chance": None}


def test_a_row_that_comes_changes_no_other_score_or_interval(board):
    rows = [entry("a", 0.3), entry("b", 0.6)]
    before, after = cells_of(board, rows), cells_of(board, [*rows, entry("new", 0.5), entry("other", 0.7)])
    for column in COLUMNS:
        for name in ("a", "b"):
            ours, theirs = before[column][name], after[column][name]
            assert (ours.value, ours.low, ours.high) == (theirs.value, theirs.low, theirs.high)
    assert after[OVERALL]["b"].rank == 2


def test_a_metric_without_a_column_has_no_cell_there(board):
    partial = entry("partial", 0.4)
    partial = Entry(partial.method, {"power": partial.arrays["power"]}, 2, 2)
    cells = cells_of(board, [entry("whole", 0.6), partial])
    assert "partial" not in cells[OVERALL]
    assert cells["power"]["partial"].rank == 2
    assert tied_with(board, [entry("whole", 0.6), partial], "partial") == {"power": ()}


def test_ties_are_paired_differences_with_zero(board):
    wide = np.concatenate([[0.61], 0.61 + 0.2 * np.random.default_rng(1).normal(size=60)])
    rows = [entry("a", 0.6), entry("near", 0.61, overall=wide), entry("far", 0.2), entry("bound", 0.6, reference=True)]
    assert tied_with(board, rows, "a")[OVERALL] == ("near",)


def test_tables_behind_the_ranking_list_best_first_and_dashes(tmp_path):
    track, found = answers(tmp_path)
    board = AttributionMetricLeaderboard(track.protocol)
    real = Entry(track.method, board.entry(track, measured(track, found)), 2, 2)
    agreement, parts = board.tables([entry("best", 5.0), real])
    assert agreement.columns == ("faithfulness", "complexity")
    assert [row.method for row in agreement.rows] == ["best", "inside"]
    assert agreement.rows[0].values == (None, None)
    assert agreement.rows[1].values == pytest.approx((100.0, -100.0))
    assert len(parts.columns) == 3
    assert board.tables([]) == ()


def test_single_networks_of_a_kind_cannot_be_left_out(tmp_path):
    track, found = answers(tmp_path)
    board, units = AttributionMetricLeaderboard(track.protocol), list(found)
    assert board.exempt(units[:1]) == []
    assert board.exempt(units) == units

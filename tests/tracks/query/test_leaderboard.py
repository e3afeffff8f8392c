"""Comparison of query strategies: ranks, references, and who beats whom."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from harness.tracks.query.curves import curve_table, penalties
from harness.tracks.query.leaderboard import QueryLeaderboard
from tests.tracks.query.outcomes import (
    LOOPS,
    benchmark,
    entries,
    images,
    protocol_of,
    random_counts,
    study,
    unit,
    volumes,
)
from tests.tracks.support import cells_of, tied_with

TARGETS = np.random.default_rng(8).integers(3, size=300)
QUALITY = {"poor": 0.4, "fair": 0.6, "good": 0.8}


def two_studies(**more):
    studies = [study(name, name, volumes=False) for name in ("low", "high")]
    return benchmark(studies, performance="accuracy", **more)


def campaign(name, seed, quality):
    """All strategies share the start of a seed; then accuracy moves towards their quality."""
    rng = np.random.default_rng([sum(name.encode()), seed])
    shared = np.random.default_rng(seed)
    rows = []
    for loop in range(LOOPS):
        source, right = (shared, 0.3) if loop == 0 else (rng, 0.3 + (quality - 0.3) * loop / (LOOPS - 1))
        wrong = source.random(len(TARGETS)) > right
        rows.append(np.where(wrong, (TARGETS + 1) % 3, TARGETS))
    return images(rows)


def outputs_of(spec, qualities):
    return {
        name: {(s.id, seed): campaign(name + s.id, seed, quality) for s in spec.studies for seed in spec.seeds}
        for name, quality in qualities.items()
    }


def test_ranks_follow_quality():
    spec = two_studies()
    board, found = entries(spec, outputs_of(spec, QUALITY), TARGETS)
    assert board.columns == ("low", "high", "mean")
    cells = cells_of(board, found)
    for column in board.columns:
        assert {name: cell.rank for name, cell in cells[column].items()} == {"good": 1, "fair": 2, "poor": 3}
        for cell in cells[column].values():
            assert cell.low < cell.value < cell.high
    for name in QUALITY:
        assert cells["mean"][name].value == pytest.approx((cells["low"][name].value + cells["high"][name].value) / 2)


def test_scores_are_areas_of_the_stored_predictions():
    spec = two_studies()
    outputs = outputs_of(spec, QUALITY)
    board, found = entries(spec, outputs, TARGETS)
    for name in QUALITY:
        areas = []
        for seed in spec.seeds:
            curve = (outputs[name]["low", seed]["evaluation.predictions"] == TARGETS).mean(axis=1)
            areas.append(np.mean([(a + b) / 2 for a, b in itertools.pairwise(curve)]))
        assert cells_of(board, found)["low"][name].value == pytest.approx(np.mean(areas), abs=1e-11)


def test_a_new_method_changes_no_other_score():
    spec = two_studies()
    outputs = outputs_of(spec, {**QUALITY, "newcomer": 0.7})
    board, found = entries(spec, outputs, TARGETS)
    before, after = cells_of(board, found[:3]), cells_of(board, found)
    for column, name in itertools.product(board.columns, QUALITY):
        old, new = before[column][name], after[column][name]
        assert (old.value, old.low, old.high) == (new.value, new.low, new.high)
        assert new.rank == old.rank + (after[column]["newcomer"].value > old.value)


def test_the_order_of_entries_and_units_changes_nothing():
    spec = two_studies()
    outputs = outputs_of(spec, QUALITY)
    board, found = entries(spec, outputs, TARGETS)
    _, backwards = entries(spec, {name: dict(reversed(of.items())) for name, of in reversed(outputs.items())}, TARGETS)
    assert cells_of(board, found) == {
        column: {name: cells[name] for name in QUALITY} for column, cells in cells_of(board, backwards).items()
    }
    assert board.tables(found) == board.tables(backwards)


def test_references_are_shown_and_not_ranked():
    spec = two_studies()
    board, found = entries(spec, outputs_of(spec, {**QUALITY, "bound": 0.95}), TARGETS, references={"bound"})
    without = cells_of(board, [each for each in found if not each.method.reference])
    for column, cells in cells_of(board, found).items():
        assert cells["bound"].rank is cells["bound"].group is None
        assert {name: cells[name] for name in QUALITY} == without[column]
    assert "bound" not in tied_with(board, found, "good")["mean"]
    assert board.tables(found)[0].rows[0].method == "bound", "tables hold references too, best first"


def test_equal_methods_are_tied():
    spec = two_studies()
    outputs = outputs_of(spec, {"one": 0.6, "worse": 0.35})
    outputs["other"] = outputs["one"]
    board, found = entries(spec, outputs, TARGETS)
    assert tied_with(board, found, "one")["mean"] == ("other",)
    mean = cells_of(board, found)["mean"]
    assert mean["one"].rank == mean["other"].rank == 1
    assert mean["worse"].rank == 3


def test_a_column_needs_all_its_units():
    spec = two_studies()
    outputs = outputs_of(spec, QUALITY)
    del outputs["good"]["high", 2]
    board, found = entries(spec, outputs, TARGETS)
    cells = cells_of(board, found)
    assert "good" not in cells["high"]
    assert "good" not in cells["mean"]
    assert cells["low"]["good"].rank == 1
    assert {row.method for row in board.tables(found)[0].rows} == {"poor", "fair"}


def test_penalties_equal_t_tests_one_by_one():
    spec = two_studies(seeds=(1, 2, 3, 4))
    outputs = outputs_of(spec, {**QUALITY, "bound": 0.62})
    _, found = entries(spec, outputs, TARGETS, references={"bound"})
    table = penalties(found)
    for a, b in itertools.permutations(outputs, 2):
        won = 0
        for s, loop in itertools.product(("low", "high"), range(LOOPS)):
            difference = []
            for seed in spec.seeds:
                mine, theirs = (
                    (outputs[name][s, seed]["evaluation.predictions"][loop] == TARGETS).mean() for name in (a, b)
                )
                difference.append(mine - theirs)
            if np.ptp(difference) > 0:
                test = ttest_1samp(difference, 0.0)
                won += test.pvalue < 0.05 and np.mean(difference) > 0
        assert table.loc[a, b] == pytest.approx(won / (2 * LOOPS))
    holm = penalties(found, correction="holm")
    assert (holm.to_numpy() <= table.to_numpy()).all()


def test_the_appendix_says_who_loses():
    spec = two_studies(seeds=(1, 2, 3, 4))
    board, found = entries(spec, outputs_of(spec, QUALITY), TARGETS)
    [table] = board.tables(found)
    assert [row.method for row in table.rows] == ["good", "fair", "poor"]
    assert table.columns == ("1", "2", "3", "lost", "lost (Holm)")
    for i, row in enumerate(table.rows):
        assert row.values[i] is None
        beaten = [other.values[i] for other in table.rows if other is not row]
        assert row.values[-2] == pytest.approx(np.mean(beaten))
    assert table.rows[0].values[-2] == 0


def test_one_seed_has_no_significance():
    spec = two_studies(seeds=(1,))
    board, found = entries(spec, outputs_of(spec, QUALITY), TARGETS)
    assert board.tables(found) == ()
    assert cells_of(board, found)["mean"]["good"].rank == 1


def segmented(spec, qualities):
    outputs = {}
    for name, quality in qualities.items():
        outputs[name] = {}
        for s, seed in itertools.product(spec.studies, spec.seeds):
            counts = random_counts(np.random.default_rng([seed, 1]), quality)
            outputs[name][s.id, seed] = volumes(counts, share=[0.01, 0.05, 0.1, 0.1 + quality / 5])
    return outputs


def test_segmentation_shows_what_annotation_was_spent():
    spec = benchmark([study("low", "all", full_performance=0.99), study("high", "all")])
    board, found = entries(spec, segmented(spec, {"a": 0.3, "b": 0.4}))
    assert board.columns == ("all",), "a mean over one column would say it twice"
    penalty, efficiency, foreground = board.tables(found)
    assert (penalty.title, efficiency.columns, foreground.columns) == ("Who beats whom", ("low",), ("low", "high"))
    assert [row.method for row in foreground.rows] == ["b", "a"]
    assert [row.values for row in foreground.rows] == [(pytest.approx(18.0),) * 2, (pytest.approx(16.0),) * 2]
    assert all(row.values[0] > 0 for row in efficiency.rows)


def test_curves_are_one_long_table():
    spec = two_studies()
    outputs = outputs_of(spec, QUALITY)
    frame = curve_table(entries(spec, outputs, TARGETS)[1])
    assert list(frame.columns) == ["method", "study", "seed", "loop", "performance"]
    assert len(frame) == len(QUALITY) * 2 * 3 * LOOPS
    last = frame.query("method == 'good' and study == 'high' and seed == 1 and loop == 3")["performance"].item()
    assert last == pytest.approx((outputs["good"]["high", 2]["evaluation.predictions"][3] == TARGETS).mean())
    assert curve_table([]).empty


def test_exempt_is_all_or_nothing():
    spec = two_studies()
    board = QueryLeaderboard(protocol_of(spec))
    every = [unit(s.id, seed) for s in spec.studies for seed in spec.seeds]
    assert board.exempt(every) == every
    assert board.exempt(every[:-1]) == ()
    assert board.exempt([]) == ()

"""Learning curves of pages and boards hold the numbers that were scored."""

from __future__ import annotations

import numpy as np
import pytest

from harness.spec.board import Cell
from harness.tracks.query.drawing import curves_svg
from harness.tracks.query.picture import _frame, query_views
from harness.tracks.views import Rival, Shown
from tests.tracks.query.outcomes import (
    LOOPS,
    QUERY,
    START,
    benchmark,
    entries,
    images,
    random_counts,
    study,
    track_of,
    unit,
    volumes,
)

TARGETS = np.random.default_rng(2).integers(3, size=50)
BUDGETS = [START + QUERY * loop for loop in range(LOOPS)]


def segmentation():
    spec = benchmark([study("low"), study("high")])
    outputs = {
        name: {
            (s.id, seed): volumes(random_counts(np.random.default_rng([seed]), quality))
            for s in spec.studies
            for seed in spec.seeds
        }
        for name, quality in {"mine": 0.5, "random-sampling": 0.3, "other": 0.4}.items()
    }
    return spec, outputs


def answers(outputs):
    """Outputs by unit, of outputs by study and seed."""
    return {unit(*where): each for where, each in outputs.items()}


def shown(track, outputs, board=(), **given):
    found = answers(outputs)
    return Shown(
        answers={unit: {} for unit in found},
        measured={unit: track.measure(unit, each) for unit, each in found.items()},
        summary=(),
        entries=lambda: board,
        **given,
    )


def points(chart, **wanted):
    """(x, y) of the rows with these values."""
    columns = chart.columns
    rows = [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]
    return [(row["budget"], row["performance"]) for row in rows if all(row[name] == of for name, of in wanted.items())]


def test_a_run_of_images_has_a_line_a_seed_and_their_mean():
    spec = benchmark([study("low", volumes=False), study("high", volumes=False)], performance="accuracy")
    rng = np.random.default_rng(0)
    outputs = {
        (s.id, seed): images(rng.integers(3, size=(LOOPS, len(TARGETS)))) for s in spec.studies for seed in spec.seeds
    }
    track = track_of(spec, TARGETS)
    (chart,) = (each for each in query_views(track, shown(track, outputs)) if each.template == "chart")
    assert chart.options["x"]["label"] == "annotated images"
    assert "other rows of the board" not in [each.label for each in chart.keys]
    for name in ("low", "high"):
        expected = [
            (outputs[name, seed]["evaluation.predictions"] == TARGETS).mean(axis=1).tolist() for seed in spec.seeds
        ]
        for number, curve in enumerate(expected):
            assert points(chart, study=name, method=f"seed {number}") == list(zip(BUDGETS, curve, strict=True))
        mean = points(chart, study=name, role="this run")
        assert [y for _, y in mean] == pytest.approx(np.mean(expected, axis=0), abs=1e-6)


def test_a_run_of_volumes_is_drawn_over_foreground_too_and_beside_its_rivals():
    spec, outputs = segmentation()
    _, board = entries(spec, {name: outputs[name] for name in ("random-sampling", "other")})
    rival = Rival("simplest", "random-sampling", {}, None, lambda: (None, {}))
    track = track_of(spec)
    over_patches, over_share = query_views(track, shown(track, outputs["mine"], board, rivals=(rival,)))
    assert [each.label for each in over_patches.keys] == [
        "this run: mine",
        "simplest: random-sampling",
        "other rows of the board",
    ]
    assert len(points(over_patches, study="low", role="other", method="other")) == LOOPS
    x = [x for x, _ in points(over_share, study="low", role="this run")]
    assert x == pytest.approx(np.linspace(0.01, 0.2, LOOPS), abs=1e-5)
    theirs = [y for _, y in points(over_share, study="low", role="simplest")]
    assert theirs == pytest.approx(
        next(e for e in board if e.method.name == "random-sampling").arrays["_curves.low"].mean(axis=0), abs=1e-6
    )


def test_who_beats_whom_has_the_run_among_the_board():
    spec, outputs = segmentation()
    _, board = entries(spec, {name: outputs[name] for name in ("random-sampling", "other")})
    track, placed = track_of(spec), {"mean": Cell(value=1.0, low=1.0, high=1.0)}
    *_, matrix = query_views(track, shown(track, outputs["mine"], board, cells=placed))
    assert matrix.title == "Who beats whom"
    assert set(matrix.columns["method"]) == {"this run", "random-sampling", "other"}
    assert len(matrix.columns["share"]) == 6
    assert all(0 <= share <= 100 for share in matrix.columns["share"])


def test_a_run_without_scores_has_no_views():
    spec, _ = segmentation()
    track = track_of(spec)
    assert list(query_views(track, shown(track, {}))) == []


def test_the_frame_of_a_patch_is_its_border():
    pixels = np.zeros((6, 8, 3), dtype=np.uint8)
    _frame(pixels, (1, 2), (4, 5))
    framed = pixels.any(axis=-1)
    assert framed.sum() == 2 * 4 + 2 * 5 - 4
    assert framed[1, 2:7].all()
    assert framed[1:5, 6].all()
    assert not framed[2:4, 3:6].any()


def test_a_board_is_the_same_picture_whatever_the_order():
    spec, outputs = segmentation()
    _, found = entries(spec, outputs)
    svg = curves_svg(found, ["low", "high"])
    assert svg == curves_svg(list(reversed(found)), ["low", "high"])
    for text in ("low", "high", "mine", "random-sampling", "other"):
        assert f">{text}</text>" in svg
    assert ">high</text>" not in curves_svg(found, ["low"])


def test_an_empty_board_has_no_picture():
    assert curves_svg([]) == ""

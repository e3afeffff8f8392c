"""Pictures of budget curves hold the numbers that were scored."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tracks.query import picture as page
from harness.tracks.query.picture import budget_curves, curves_svg
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


def drawn(monkeypatch):
    """The drawings that are made into pages."""
    kept = []
    monkeypatch.setattr(page, "as_svg", lambda drawing: kept.append(drawing) or "<svg>")
    return kept


def test_a_run_of_images_has_a_panel_a_study_and_a_line_a_seed(monkeypatch):
    spec = benchmark([study("low", volumes=False), study("high", volumes=False)], performance="accuracy")
    rng = np.random.default_rng(0)
    outputs = {
        (s.id, seed): images(rng.integers(3, size=(LOOPS, len(TARGETS)))) for s in spec.studies for seed in spec.seeds
    }
    kept = drawn(monkeypatch)
    figure = budget_curves(track_of(spec, TARGETS), answers(outputs), [])
    assert figure.svg == "<svg>"
    assert "Images annotated" in figure.text
    assert "Grey" not in figure.text
    panels = kept[0].axes
    assert [panel.get_title() for panel in panels if panel.lines] == ["low", "high"]
    for panel, name in zip(panels, ("low", "high"), strict=False):
        assert panel.get_xlabel() == "annotated images"
        expected = [
            (outputs[name, seed]["evaluation.predictions"] == TARGETS).mean(axis=1).tolist() for seed in spec.seeds
        ]
        lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines]
        assert lines[:3] == [(BUDGETS, each) for each in expected]
        assert lines[3][1] == pytest.approx(np.mean(expected, axis=0))


def test_a_run_of_volumes_is_drawn_over_foreground_too_and_before_its_rivals(monkeypatch):
    spec, outputs = segmentation()
    _, rivals = entries(spec, {name: outputs[name] for name in ("random-sampling", "other")})
    kept = drawn(monkeypatch)
    figure = budget_curves(track_of(spec), answers(outputs["mine"]), rivals)
    assert "Grey lines are methods of the board" in figure.text
    assert [panel.get_xlabel() for panel in kept[0].axes] == [
        "annotated patches",
        "annotated share of the foreground",
    ] * 2
    over_share = kept[0].axes[1].lines
    assert len(over_share) == 2 + 3 + 1
    assert {line.get_color() for line in over_share[:2]} == {page._GREY, page._LIGHT}
    assert over_share[-1].get_xdata() == pytest.approx(np.linspace(0.01, 0.2, LOOPS), abs=1e-5)


def test_a_run_without_scores_has_no_picture():
    spec, _ = segmentation()
    assert budget_curves(track_of(spec), {}, []).svg == ""


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

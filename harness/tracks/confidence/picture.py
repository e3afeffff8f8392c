"""Generalized risk-coverage curves of a run, and answers that are tied almost everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.metrics.risk_coverage import risk_coverage_curve
from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.figure import PALETTE, Figure, as_svg, panels

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.confidence.track import ConfidenceTrack

    Curve = tuple[np.ndarray, np.ndarray]

_MOST_POINTS = 200
_LARGEST_TIE = 0.5  # share of samples with one and the same confidence
_FEW_VALUES, _MANY_SAMPLES = 20, 100


def risk_coverage_figure(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Figure:
    """A panel per study, a line per model."""
    return Figure(
        "Generalized risk by coverage",
        "How much undetected failure remains when only the most confident share of samples is accepted. AUGRC is the "
        "area under the curve. One line per trained model.",
        _drawn(_curves(track, answers), [study.id for study in track.benchmark.studies]),
    )


def tied_answers(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Iterator[str]:
    """What to know of answers by unit: that the method ties samples which what it was given tells apart.

    Samples of equal confidence are not ranked among each other: metrics average over their orders.
    """
    import numpy as np

    found = []
    for unit, outputs in answers.items():
        confidence = outputs["confidence"]
        _, groups, counts = np.unique(confidence, return_inverse=True, return_counts=True)
        few = len(counts) < _FEW_VALUES and len(confidence) >= _MANY_SAMPLES
        if len(confidence) < 2 or not (few or counts.max() > _LARGEST_TIE * len(confidence)):
            continue
        given = [_row_groups(array) for _, array in track.given(unit)]
        largest = np.flatnonzero(groups == counts.argmax())
        # Samples of which any array says the same may be tied: a score of the logits alone cannot do better.
        own = min((len(largest) - np.bincount(rows[largest]).max() for rows in given), default=len(largest))
        few = few and min((rows.max() + 1 for rows in given), default=len(confidence)) > len(counts)
        if few or own > _LARGEST_TIE * len(confidence):
            share = 100 * counts.max() / len(confidence)
            what = f"{len(counts):,} different values for {len(confidence):,} samples, the most frequent for"
            found.append((share, f"{unit.label}: {what} {share:.0f} %"))
    if found:
        yield (
            f"in {len(found)} of {len(answers)} units the confidence is tied almost everywhere ({max(found)[1]}) where "
            "the model's outputs are not; samples with equal confidence are not told apart. Return finer values, if "
            "that is not meant."
        )


def _row_groups(rows: np.ndarray) -> np.ndarray:
    """(n, ...) -> (n,): a number for each distinct row."""
    import numpy as np

    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    groups: np.ndarray = np.unique(flat.view(np.dtype((np.void, flat.itemsize * flat.shape[1]))), return_inverse=True)[
        1
    ]
    return groups.reshape(-1)


def _curves(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> dict[str, dict[str, Curve]]:
    """study -> model -> (coverage, generalized risk), thinned for display."""
    import numpy as np

    curves: dict[str, dict[str, Curve]] = {}
    for unit, outputs in answers.items():
        judged = track.judge(unit, outputs)
        curve = risk_coverage_curve(judged.confidence, judged.residual)
        thin = np.unique(np.linspace(0, len(curve.coverage) - 1, _MOST_POINTS).astype(int))
        curves.setdefault(unit.study, {})[unit.model] = (curve.coverage[thin], curve.generalized_risk[thin])
    return curves


def _drawn(curves: dict[str, dict[str, Curve]], studies: list[str]) -> str:
    """All curves as one SVG: a panel per study, a line per model."""
    if not curves:
        return ""
    studies = [study for study in studies if study in curves]
    with panels(len(studies), 3, 3.6, 2.7) as (drawing, axes):
        for panel, study in zip(axes, studies, strict=True):
            for colour, (model, (coverage, risk)) in zip(PALETTE * 9, curves[study].items(), strict=False):
                panel.plot(coverage, risk, color=colour, linewidth=1.2, label=model)
            panel.set(title=study, xlabel="coverage", ylabel="generalized risk", xlim=(0, 1))
            panel.set_ylim(bottom=0)
        axes[0].legend(frameon=False)
        return as_svg(drawing)

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


def tied_answers(answers: Mapping[str, Answers]) -> Iterator[str]:
    """What to know of answers by unit. Samples of equal confidence are not ranked among each other: metrics average over their orders."""
    import numpy as np

    found = []
    for label, outputs in answers.items():
        confidence = outputs["confidence"]
        _, counts = np.unique(confidence, return_counts=True)
        share, few = counts.max() / len(confidence), len(counts) < _FEW_VALUES and len(confidence) >= _MANY_SAMPLES
        if len(confidence) > 1 and (share > _LARGEST_TIE or few):
            what = f"{len(counts):,} different values for {len(confidence):,} samples, the most frequent for"
            found.append((share, f"{label}: {what} {100 * share:.0f} %"))
    if found:
        yield (
            f"in {len(found)} of {len(answers)} units the confidence is tied almost everywhere ({max(found)[1]}); "
            "samples with equal confidence are not told apart. Return finer values, if that is not meant."
        )


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

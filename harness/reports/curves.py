"""Generalized risk-coverage curves of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.boards.place import units_of
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.metrics.risk_coverage import risk_coverage_curve
from harness.reports.figure import PALETTE, STYLE, Figure, as_svg
from harness.tracks.confidence.track import ConfidenceTrack

if TYPE_CHECKING:
    import numpy as np

    Curve = tuple[np.ndarray, np.ndarray]

_MOST_POINTS = 200


def risk_coverage_curves(run: RunResult, protocol: LoadedBenchmark) -> Figure:
    """A panel per study, a line per model."""
    studies = [study.id for study in protocol.benchmark.studies]
    return Figure(
        "Generalized risk by coverage",
        "How much undetected failure remains when only the most confident share of samples is accepted. AUGRC is the "
        "area under the curve. One line per trained model.",
        _drawn(_curves(run, protocol), studies),
    )


def _curves(run: RunResult, protocol: LoadedBenchmark) -> dict[str, dict[str, Curve]]:
    """study -> model -> (coverage, generalized risk), thinned for display."""
    import numpy as np

    units, track = units_of(run, protocol)
    assert isinstance(track, ConfidenceTrack)
    curves: dict[str, dict[str, Curve]] = {}
    for key, outputs in run.outputs().items():
        judged = track.judge(units[key], outputs)
        curve = risk_coverage_curve(judged.confidence, judged.residual)
        thin = np.unique(np.linspace(0, len(curve.coverage) - 1, _MOST_POINTS).astype(int))
        points = (curve.coverage[thin], curve.generalized_risk[thin])
        curves.setdefault(units[key].study, {})[units[key].model] = points
    return curves


def _drawn(curves: dict[str, dict[str, Curve]], studies: list[str]) -> str:
    """All curves as one SVG: a panel per study, a line per model."""
    if not curves:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    studies = [study for study in studies if study in curves]
    columns = min(3, len(studies))
    lines = -(-len(studies) // columns)
    with rc_context(STYLE):
        figure = Drawing(figsize=(3.6 * columns, 2.7 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, study in zip(panels, studies, strict=False):
            for colour, (model, (coverage, risk)) in zip(PALETTE * 9, curves[study].items(), strict=False):
                panel.plot(coverage, risk, color=colour, linewidth=1.2, label=model)
            panel.set(title=study, xlabel="coverage", ylabel="generalized risk", xlim=(0, 1))
            panel.set_ylim(bottom=0)
        for panel in panels[len(studies) :]:
            panel.set_axis_off()
        panels[0].legend(frameon=False)
        return as_svg(figure)

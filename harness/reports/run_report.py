"""A run as one self-contained HTML page: scores, and the generalized risk-coverage curves behind them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.place import Place
from harness.data.catalog import Protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_result import RunResult
from harness.metrics.registry import METRICS
from harness.metrics.risk_coverage import risk_coverage_curve
from harness.spec.benchmark import ConfidenceBenchmark
from harness.storage import write_text

if TYPE_CHECKING:
    import numpy as np

    Curve = tuple[np.ndarray, np.ndarray]

REPORT = "report.html"
_MOST_POINTS = 200
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito, colour-blind safe


def write_run_report(run: RunResult, protocol: Protocol, place: tuple[Place, ...] | str) -> Path:
    """Write `report.html` into the run's folder and return its path."""
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("harness.reports", "templates"), autoescape=True)
    document = run.document
    page = pages.get_template("run.html").render(
        document=document,
        failed=run.failed,
        metrics={row.metric: METRICS.get(row.metric) for row in document.summary},
        rows=_rows(run),
        places=() if isinstance(place, str) else place,
        curves=_drawn(_curves(run, protocol), protocol.benchmark),
    )
    write_text(run.folder / REPORT, page)
    return run.folder / REPORT


def _rows(run: RunResult) -> dict[str, dict[str, tuple[str, str]]]:
    """study -> metric -> (value, interval), scaled for display."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for row in run.document.summary:
        scale = METRICS[row.metric].display_scale if row.metric in METRICS else 1.0
        text, span = "–" if row.value is None else f"{row.value * scale:.4g}", ""
        if row.value is not None and row.low is not None and row.high is not None:
            span = f"{row.low * scale:.4g} to {row.high * scale:.4g}"
        rows.setdefault(row.study, {})[row.metric] = (text, span)
    return rows


def _curves(run: RunResult, protocol: Protocol) -> dict[str, dict[str, Curve]]:
    """study -> model -> (coverage, generalized risk), thinned for display."""
    import numpy as np

    spec = run.document.spec
    track = open_track(protocol, spec.method, spec.device)
    request = PlanRequest(run.folder, spec.seed, spec.device, spec.limit)
    units = plan_units(protocol, track, spec.method, request)
    curves: dict[str, dict[str, Curve]] = {}
    for key, outputs in run.outputs().items():
        judged = track.judge(units[key], outputs)
        curve = risk_coverage_curve(judged.confidence, judged.residual)
        thin = np.unique(np.linspace(0, len(curve.coverage) - 1, _MOST_POINTS).astype(int))
        points = (curve.coverage[thin], curve.generalized_risk[thin])
        curves.setdefault(units[key].study, {})[units[key].model] = points
    return curves


def _drawn(curves: dict[str, dict[str, Curve]], benchmark: ConfidenceBenchmark) -> str:
    """All curves as one SVG: a panel per study, a line per model."""
    if not curves:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    studies = [study.id for study in benchmark.studies if study.id in curves]
    columns = min(3, len(studies))
    lines = -(-len(studies) // columns)
    with rc_context({"svg.hashsalt": "harness", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.6 * columns, 2.7 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, study in zip(panels, studies, strict=False):
            for colour, (model, (coverage, risk)) in zip(_COLOURS * 9, curves[study].items(), strict=False):
                panel.plot(coverage, risk, color=colour, linewidth=1.2, label=model)
            panel.set(title=study, xlabel="coverage", ylabel="generalized risk", xlim=(0, 1))
            panel.set_ylim(bottom=0)
        for panel in panels[len(studies) :]:
            panel.set_axis_off()
        panels[0].legend(frameon=False)
        image = io.StringIO()
        figure.savefig(image, format="svg", metadata={"Date": None})
    svg = image.getvalue()
    return svg[svg.index("<svg") :]

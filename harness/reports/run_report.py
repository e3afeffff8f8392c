"""A run as one self-contained HTML page: scores, the place on the board, and the picture behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.boards.place import Place
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.metrics.facts import metric_facts
from harness.reports.agreement import rank_agreement
from harness.reports.budget_curves import budget_curves
from harness.reports.curves import risk_coverage_curves
from harness.reports.figure import Figure
from harness.reports.gallery import map_gallery
from harness.storage import write_text
from harness.tracks.registry import KINDS

REPORT = "report.html"
FIGURES: Mapping[str, Callable[[RunResult, LoadedBenchmark], Figure]] = {
    "confidence": risk_coverage_curves,
    "query": budget_curves,
    "attribution": map_gallery,
    "attribution-metric": rank_agreement,
}


def write_run_report(run: RunResult, protocol: LoadedBenchmark, place: tuple[Place, ...] | str) -> Path:
    """Write `report.html` into the run's folder and return its path."""
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("harness.reports", "templates"), autoescape=True)
    document = run.document
    page = pages.get_template("run.html").render(
        document=document,
        failed=run.failed,
        headings={row.metric: metric_facts()[row.metric].heading for row in document.summary},
        rows=_rows(run),
        places=() if isinstance(place, str) else place,
        caption=KINDS[document.spec.task].caption,
        figure=FIGURES[document.spec.task](run, protocol),
    )
    write_text(run.folder / REPORT, page)
    return run.folder / REPORT


def _rows(run: RunResult) -> dict[str, dict[str, tuple[str, str]]]:
    """study -> metric -> (value, interval), scaled for display."""
    facts, rows = metric_facts(), dict[str, dict[str, tuple[str, str]]]()
    for row in run.document.summary:
        text, span = facts[row.metric].text, ""
        if row.low is not None and row.high is not None:
            span = f"{text(row.low)} to {text(row.high)}"
        rows.setdefault(row.study, {})[row.metric] = (text(row.value), span)
    return rows

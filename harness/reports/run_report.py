"""A run as one self-contained HTML page: scores, the place on the board, and the picture behind them."""

from __future__ import annotations

from pathlib import Path

from harness.boards.build import read_standings
from harness.boards.place import Place
from harness.data.catalog import LoadedBenchmark, benchmark_files
from harness.execution.run_result import RunResult
from harness.metrics.facts import metric_facts
from harness.spec.kinds import kind_of
from harness.storage import fill_template, write_text
from harness.tracks.leaderboard import Entry

REPORT = "report.html"
TEMPLATES = Path(__file__).with_name("templates")


def write_run_report(run: RunResult, protocol: LoadedBenchmark, place: tuple[Place, ...] | str) -> Path:
    """Write `report.html` into the run's folder and return its path."""
    document, scored = run.document, run.scored(protocol)
    page = fill_template(
        TEMPLATES / "run.html",
        document=document,
        failed=run.failed,
        headings={row.metric: metric_facts()[row.metric].heading for row in document.summary},
        rows=_rows(run),
        places=() if isinstance(place, str) else place,
        caption=kind_of(document.spec.task).caption,
        figure=scored.track.figure(run.answers_by_unit(protocol), _rivals(run, protocol)),
    )
    write_text(run.folder / REPORT, page)
    return run.folder / REPORT


def _rivals(run: RunResult, protocol: LoadedBenchmark) -> tuple[Entry, ...]:
    """Methods of the board that the run's benchmark has, without the run's own earlier submission."""
    spec = run.document.spec
    if spec.benchmark not in benchmark_files() or spec.benchmark_hash != protocol.hash:
        return ()
    return tuple(each for each in read_standings(protocol).entries if each.method.name != spec.method.name)


def _rows(run: RunResult) -> dict[str, dict[str, tuple[str, str]]]:
    """study -> metric -> (value, interval), scaled for display."""
    facts, rows = metric_facts(), dict[str, dict[str, tuple[str, str]]]()
    for row in run.document.summary:
        text, span = facts[row.metric].text, ""
        if row.low is not None and row.high is not None:
            span = f"{text(row.low)} to {text(row.high)}"
        rows.setdefault(row.study, {})[row.metric] = (text(row.value), span)
    return rows

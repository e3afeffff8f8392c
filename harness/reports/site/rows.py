"""Rows of boards: what is known of each method, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.boards.cite import CitedWork, bibtex, references
from harness.boards.render import cost_text, direction, group_letter, scaled_title, spread_text, tier_text
from harness.boards.sources import find_source
from harness.boards.submissions import read_submission, submissions_folder
from harness.boards.tiers import read_reproduction, record_path
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.metrics.facts import board_text, metric_facts
from harness.reports.run_report import score_table
from harness.reports.site.text import write_page
from harness.spec.board import Board, Cell, Row
from harness.spec.errors import UsageError
from harness.spec.result import Summary
from harness.spec.submission import Reproduction, Submission
from harness.storage import IntegrityError


@dataclass(frozen=True)
class Method:
    """A row, and what its submission says, as far as that can be read. `record`: of its reproduction, whatever it says."""

    row: Row
    about: Submission | None = None
    record: Reproduction | None = None
    summary: tuple[Summary, ...] = ()
    source: str = ""
    bibtex: str = field(default="", repr=False)

    @property
    def current(self) -> bool:
        """Whether the record is of this state of the submission."""
        of = (self.about, self.record)
        return None not in of and (of[0].run, of[0].outputs) == (of[1].run, of[1].outputs)  # type: ignore[union-attr]


def read_method(row: Row, protocol: LoadedBenchmark) -> Method:
    """What lies in the row's folder; a damaged submission spoils no page but its own."""
    folder = submissions_folder(protocol.benchmark.name) / row.method
    try:
        about = read_submission(folder).about
    except (UsageError, IntegrityError, OSError):
        return Method(row)
    try:
        record = read_reproduction(record_path(about))
    except (IntegrityError, OSError):
        record = None
    try:
        summary = tuple(RunResult.open(folder).document.summary)
    except (UsageError, IntegrityError, OSError):
        summary = ()
    try:
        source = find_source(folder, about).read_text("utf-8", errors="replace")
    except (IntegrityError, OSError):
        source = ""
    work = CitedWork(about.citation or about.method.citation, f"method {about.name}")
    return Method(row, about, record, summary, source, bibtex([*references(protocol), work]))


def write_method(source: Path, place: str, method: Method, protocol: LoadedBenchmark, board: Board) -> None:
    """The page of a row."""
    write_page(
        source,
        place,
        "method",
        **helpers(board),
        method=method,
        row=method.row,
        about=method.about,
        record=method.record,
        protocol=protocol,
        board=board,
        scores=score_table(method.summary),
        code=_highlighted(method.source),
        spread=spread_text,
    )


def helpers(board: Board | None) -> dict[str, Any]:
    """What templates call on a board's rows and cells."""
    if board is None:
        return {}
    compete = [row for row in board.rows if not row.reference] or board.rows
    domains = {}
    for column in board.columns:
        cells = [row.cells[column] for row in compete if column in row.cells]
        domains[column] = (min((c.low for c in cells), default=0.0), max((c.high for c in cells), default=0.0))

    def interval(column: str, cell: Cell) -> tuple[float, float, float] | None:
        """Low, value and high in % of what the column's competitors span; None for a bound outside of it."""
        least, most = domains[column]
        if not least <= cell.value <= most:
            return None
        span = (most - least) or 1.0
        low, value, high = (100 * (each - least) / span for each in (cell.low, cell.value, cell.high))
        return max(0.0, low), value, min(100.0, high)

    return {
        "title": scaled_title(board),
        "direction": direction(board),
        "interval": interval,
        "number": lambda value: board_text(board.metric, value),
        "letter": group_letter,
        "tier": tier_text,
        "cost": cost_text,
    }


def by_study(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Study -> a table of all rows by its metrics: id, columns (id, heading), rows (method, cells by metric)."""
    facts = metric_facts()
    studies = dict.fromkeys(each.study for method in methods for each in method.summary)
    tables = []
    for study in studies:
        found = {
            method.row.method: {each.metric: each for each in method.summary if each.study == study}
            for method in methods
            if any(each.study == study for each in method.summary)
        }
        metrics = dict.fromkeys(name for cells in found.values() for name in cells)
        columns = [(name, facts[name].heading, facts[name].text) for name in metrics if name in facts]
        tables.append({"id": study, "columns": columns, "rows": found})
    return tables


def _highlighted(source: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return str(highlight(source, PythonLexer(), HtmlFormatter())) if source else ""

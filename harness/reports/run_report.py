"""A run as one self-contained HTML page: its place on the board, its scores, and the views of its kind behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.boards.place import NO_BOARD, Place, overall
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.metrics.facts import board_text, metric_facts
from harness.reports.page import fill_page
from harness.reports.rivals import board_rows
from harness.spec.board import Cell
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of
from harness.spec.result import Summary, UnitResult
from harness.storage import IntegrityError, write_text
from harness.tracks.views import Numbers, Rival, Shown, View

REPORT = "report.html"


def write_run_report(run: RunResult, protocol: LoadedBenchmark, place: tuple[Place, ...] | str) -> Path:
    """Write `report.html` into the run's folder and return its path."""
    document, scored = run.document, run.scored(protocol)
    board = board_rows(protocol, document.spec.method)
    places = () if isinstance(place, str) else place
    cells = _cells(places)
    shown = Shown(run.answers_by_unit(protocol), scored.measured, document.summary, cells, board.rivals, board.entries)
    views, problem = _views(scored.track.views(shown), _costs_beside(run, board.rivals))
    page = fill_page(
        "run.html",
        views=views,
        data={"run": document.id, "summary": [row.model_dump() for row in document.summary]},
        document=document,
        title=protocol.benchmark.title,
        failed=run.failed,
        inapplicable=sum(unit.status == "not-applicable" for unit in document.units),
        unscored=_unscored(document.units),
        scores=score_table(document.summary),
        places=places,
        overall=overall(places) if places else None,
        no_place=_no_place(place),
        cells=cells,
        number=board_text,
        missing=" ".join(each for each in (board.missing, problem) if each),
        roles=[{"role": each.role, "name": each.name, "cells": each.cells} for each in board.rivals],
        caption=kind_of(document.spec.task).caption,
        costs=_costs(run),
    )
    write_text(run.folder / REPORT, page)
    return run.folder / REPORT


def _views(views: Iterable[View], last: Iterable[View]) -> tuple[list[View], str]:
    """All views, and why those that are missing are: a damaged submission or absent data spoils no report."""
    found: list[View] = []
    try:
        found.extend(views)
    except (UsageError, IntegrityError, OSError) as error:
        return [*found, *last], f"What follows is incomplete: {str(error).rstrip('.')}."
    return [*found, *last], ""


def _no_place(place: tuple[Place, ...] | str) -> str:
    """Why there is none, without what only helps where the command ran: a page may be read elsewhere."""
    if not isinstance(place, str):
        return ""
    return NO_BOARD if place.startswith(NO_BOARD) else place


def _unscored(units: Iterable[UnitResult]) -> dict[tuple[str, str], list[str]]:
    """Status and reason -> the units that have no scores for it."""
    found: dict[tuple[str, str], list[str]] = {}
    for unit in units:
        if unit.status != "ok":
            found.setdefault((unit.status, unit.reason), []).append(f"{unit.study} · {unit.model}")
    return found


def _cells(places: tuple[Place, ...]) -> dict[str, Cell]:
    """The run's own numbers by column, scaled as the board shows its rows."""
    return {
        each.column: Cell(
            value=each.value * each.scale,
            low=each.low * each.scale,
            high=each.high * each.scale,
            rank=each.rank,
            rank_low=each.rank_low,
            rank_high=each.rank_high,
            spread=None if each.spread is None else each.spread * each.scale,
        )
        for each in places
    }


def score_table(summary: Iterable[Summary]) -> dict[str, Any]:
    """The main table, scaled for display: studies by metrics, or the other way round where that is narrower.

    corner: heading of the first column; columns, rows: headings; cells: (row, column) -> (text, interval, value).
    """
    facts = metric_facts()
    table, studies, metrics = dict[tuple[str, str], Any](), dict[str, None](), dict[str, None]()
    for row in summary:
        text, span = facts[row.metric].text, ""
        if row.low is not None and row.high is not None:
            span = f"{text(row.low)} to {text(row.high)}"
        studies[row.study] = metrics[row.metric] = None
        table[row.study, row.metric] = (text(row.value), span, row.value)
    headings = [(name, facts[name].heading) for name in metrics]
    names = [(name, name) for name in studies]
    if len(headings) <= len(names):
        return {"corner": "study", "columns": headings, "rows": names, "cells": table}
    turned = {(metric, study): cell for (study, metric), cell in table.items()}
    return {"corner": "metric", "columns": names, "rows": headings, "cells": turned}


def _costs(run: RunResult) -> list[tuple[str, str]]:
    """What the run took, by name."""
    timing = run.document.timing
    found = [("time of all units", f"{timing.seconds:,.1f} s")]
    if timing.passes is not None:
        found += [
            ("forward passes", f"{timing.passes.forward:,}"),
            ("backward passes", f"{timing.passes.backward:,}"),
        ]
    return [*found, ("taken up again", f"{timing.resumed} times")] if timing.resumed else found


def _costs_beside(run: RunResult, rivals: Iterable[Rival]) -> Iterator[Numbers]:
    """What the run took beside the rows of the board; nothing where none says so."""
    timing, passes = run.document.timing, run.document.timing.passes
    rows: list[tuple[str, float, int | None, int | None]] = [
        (f"{each.role}: {each.name}", each.cost.seconds, each.cost.forwards, each.cost.backwards)
        for each in rivals
        if each.cost is not None
    ]
    if not rows:
        return
    counted = (None, None) if passes is None else (passes.forward, passes.backward)
    rows.insert(0, ("this run", round(timing.seconds, 1), *counted))
    names = ("row", "seconds", "forward passes", "backward passes")
    kept = [at for at in range(len(names)) if any(row[at] is not None for row in rows)]
    yield Numbers(
        "Cost",
        "Seconds are as each submitter's machine measured them. Passes of samples through networks, counted where methods "
        "are given networks, are the same on every machine.",
        tuple(names[at] for at in kept),
        tuple(tuple(row[at] for at in kept) for row in rows),
    )

"""Numbers from papers, which a benchmark keeps in `published.csv` beside its own file."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark
from harness.metrics.facts import metric_facts
from harness.spec.board import Published
from harness.spec.errors import UsageError, first_problem, unknown

FILE = "published.csv"
_REQUIRED = ("method", "column", "value", "source")


def read_published(protocol: LoadedBenchmark, columns: Collection[str]) -> tuple[Published, ...]:
    """The published numbers of a benchmark on the metric's own scale, in the file's order; none without a file.

    The file has the columns method, column, value, source, and if wanted low, high, std, runs, note, and metric for
    numbers of another metric than the board's. `column` names one of the board's `columns` or a study. Raises
    UsageError that names the line to mend.
    """
    path = protocol.path.parent / FILE
    if not path.is_file():
        return ()
    known = {*columns, *(study.id for study in protocol.benchmark.studies)}
    facts = metric_facts()
    rows: dict[tuple[str, str, str], Published] = {}
    for number, fields in _lines(path):
        row = _row(fields, f"{path}, line {number}")
        if row.column not in known:
            raise unknown(f"column in {path}, line {number},", row.column, known)
        if row.metric and row.metric not in facts:
            raise unknown(f"metric in {path}, line {number},", row.metric, facts)
        if (row.method, row.column, row.metric) in rows:
            raise UsageError(f"{path}, line {number}: {row.method} has a number for {row.column} already.")
        rows[row.method, row.column, row.metric] = row
    return tuple(rows.values())


def _lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        absent = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
        if absent:
            raise UsageError(f"{path} needs the columns {', '.join(_REQUIRED)}; it lacks {', '.join(absent)}.")
        return [(reader.line_num, fields) for fields in reader]


def _row(fields: dict[str, Any], where: str) -> Published:
    try:
        return Published.model_validate({name: text for name, text in fields.items() if text not in ("", None)})
    except ValidationError as error:
        raise UsageError(f"{where}: {first_problem(error)}") from error

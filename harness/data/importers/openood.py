"""OpenOOD's leaderboards: CSV files with cells such as `88.03 ± 0.25`.

Zhang et al. 2023, "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.importers.base import Imported, Measure, TableColumn, frame_of, long_table, read_csv, status_and_value
from harness.storage import IntegrityError

_NAMES = {
    "Training": "training",
    "Postprocessor": "method",
    "Outlier_Data": "outliers",
    "Arch": "network",
    "Additional_Description": "description",
}
COLUMNS = (
    TableColumn("board", "name of the file, such as cifar10 or imagenet1k_ood"),
    TableColumn("training", "how the network was trained"),
    TableColumn("method", "post-processor that gives the score"),
    TableColumn("outliers", "whether training saw outliers: Yes or No"),
    TableColumn("network", "architecture"),
    TableColumn("description", "epochs or checkpoint"),
    TableColumn("column", "name of the metric in the file"),
    TableColumn("direction", "higher or lower is better"),
    TableColumn("value", "in %, mean over trainings; empty unless the status is ok", "real"),
    TableColumn("std", "in %, over trainings; empty where none is given", "real"),
    TableColumn("status", "ok or missing"),
)
KEY = tuple(column.name for column in COLUMNS[:7])
NOTES = (
    "values are in %; one number without ± comes from a single network",
    "AUROC is of in-distribution against out-of-distribution samples: wrong predictions count as in-distribution",
)
_CELL = re.compile(r"(-?\d+(?:\.\d+)?)(?:\s*(?:±|\+/-)\s*(\d+(?:\.\d+)?))?")
_NONE = ("", "/", "-", "nan", "N/A")


def read_openood(path: Path, options: Mapping[str, str]) -> Imported:
    """One leaderboard. Raises IntegrityError for another form of file, cell or range."""
    header, lines = read_csv(path, ("Training", "Postprocessor"))
    metrics = {name: _measure(name) for name in header if name not in _NAMES}
    if not metrics:
        raise IntegrityError(f"{path} has no column of a metric, such as Near-OOD_AUROC.")
    rows = (row for at, line in lines for row in _rows(line, metrics, path, at))
    return long_table("OpenOOD leaderboard", COLUMNS, KEY, frame_of(rows, COLUMNS), path, NOTES)


def _rows(line: Mapping[str, str], metrics: Mapping[str, Measure], path: Path, at: int) -> Iterator[dict[str, Any]]:
    ids = {ours: line.get(theirs, "").strip() for theirs, ours in _NAMES.items()}
    for name, measure in metrics.items():
        where = f"{path}, line {at}, column {name}"
        value, std = _cell(line[name].strip(), where)
        yield {
            "board": path.stem,
            **ids,
            "column": name,
            "direction": measure.direction,
            "std": std,
            **status_and_value(value, measure, where),
        }


def _measure(name: str) -> Measure:
    return Measure(name, "lower" if "FPR" in name.upper() else "higher", (0, 100), "%")


def _cell(text: str, where: str) -> tuple[float, float | None]:
    if text in _NONE:
        return math.nan, None
    match = _CELL.fullmatch(text)
    if match is None:
        raise IntegrityError(f"{where}: {text!r} is no value, such as 88.03 ± 0.25.")
    return float(match[1]), None if match[2] is None else float(match[2])

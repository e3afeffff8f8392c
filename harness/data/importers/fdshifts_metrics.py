"""Tables of FD-Shifts' analysis: each score's metrics on each study of each network, in the layouts of 2022 and since."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.importers.base import (
    Imported,
    Measure,
    Measured,
    TableColumn,
    frame_of,
    integer,
    long_table,
    number,
    read_csv,
    status_and_value,
)
from harness.spec.errors import UsageError

ANALYSIS = "analysis_metrics_*.csv"
_METRIC = (
    TableColumn("experiment", "name of the table, such as svhn or breedsvit; empty for analysis_metrics_*.csv"),
    TableColumn("name", "the network, by the settings of its training"),
    TableColumn("study", "question that is asked, such as iid_study"),
    TableColumn("model", "class of the network in the code; `name` says how it was trained"),
    TableColumn("network", "backbone"),
    TableColumn("fold", "as in the file; 0 everywhere where trainings are told apart by their run"),
    TableColumn("run", "number of the independent training", "integer"),
    TableColumn("dropout", "1 where the network was trained with dropout, else 0", "integer"),
    TableColumn("reward", "of DeepGamblers; without meaning for other networks that have one in their name", "real"),
    TableColumn("learning_rate", "of the training, where it was varied", "real"),
    TableColumn("confid", "confidence score"),
    TableColumn(
        "metric",
        "id of the harness's metric; legacy_aurc and legacy_excess_aurc of tables without AUGRC; empty where the harness "
        "has none of this meaning",
    ),
    TableColumn("column", "name of the metric in the file"),
    TableColumn("direction", "higher or lower is better"),
    TableColumn("unit", "of the value: share, x1000 or %"),
    TableColumn("factor", "the value is the harness's times this", "real"),
    TableColumn("n", "samples", "integer"),
    TableColumn("value", "as in the file; empty unless the status is ok", "real"),
    TableColumn("status", "ok, missing or infinite"),
)
_KEY = ("experiment", "name", "study", "model", "network", "confid")
"""What tells rows of a table apart for FD-Shifts' own loader, which takes the first of each."""
_SETTINGS = {"run": ("run", r"\d+"), "dropout": ("do", "[01]"), "reward": ("rew", ""), "learning_rate": ("lr", "")}
"""Column -> what it is called in names and tables, and its form in a name; a number where none is given."""
_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
_INDEX = ("", "index", "Unnamed: 0", "bootstrap_index", "n_test")
_NONE = ("", "nan", "na", "none", "null")

_OURS: dict[str, tuple[str, float]] = {
    "aurc": ("aurc", 1000),
    "augrc": ("augrc", 1000),
    "e-aurc": ("excess_aurc", 1000),
    "e-augrc": ("excess_augrc", 1000),
    "augrc-ba": ("balanced_augrc", 1000),
    "aurc-ba": ("balanced_aurc", 1000),
    "failauc": ("failure_auroc", 1),
    "failap_err": ("failure_ap", 1),
    "fail-NLL": ("failure_nll", 1),
    "fpr@95tpr": ("fpr_at_tpr", 1),
    "ece": ("ece", 1),
    "mce": ("mce", 1),
}
"""Columns of the analysis that mean what a metric of the harness means, in its unit times the factor."""

_LEGACY = {"aurc": "legacy_aurc", "e-aurc": "legacy_excess_aurc"}
"""What these are called in tables that are older than AUGRC."""

_THEIRS = {
    "accuracy": Measure("accuracy", "higher", (0, 1), "share"),
    "b-accuracy": Measure("balanced accuracy", "higher", (0, 1), "share"),
    "failap_suc": Measure("average precision of successes", "higher", (0, 1), "share"),
    "nll": Measure("negative log-likelihood per class", "lower", (0, -math.log(1e-7)), "nats"),
    "brier_score": Measure("Brier score over classes", "lower", (0, 2), "share"),
    "b-aurc": Measure("legacy balanced AURC", "lower", (0, 1000), "x1000"),
    **{
        f"{part}risk@{coverage}cov": Measure("selective risk", "lower", (0, 100), "%")
        for part in ("", "test_")
        for coverage in (100, 95, 90, 85, 80, 75)
    },
}
_NOTES = (
    "areas under risk curves are times 1000 (AUGRC 0 to 500); values have five decimals",
    "scores of the uncertainty kind were oriented by a Platt fit on 1000 validation samples, which may turn them round",
    "ece and mce count a study without failures as one of failures only; negative ones stand for none and are missing",
    "e-aurc may be negative: its optimum is that of infinitely many samples",
    "nll is divided by the number of classes; nll and brier_score are missing in new-class studies",
    "risk@Ncov is the lowest risk at a coverage of N % or more, not the risk at N %",
    "b-aurc depends on the order of tied samples",
    "new-class studies of Monte-Carlo dropout scores count other samples than those of other scores",
)


def read_analysis(tables: Sequence[Path], path: Path, measures: Mapping[str, Measured]) -> Imported:
    """The metrics of tables that lie at `path`; see `read_fdshifts_results`."""
    known, found = _measures(measures), _Read()
    for table in tables:
        _add_table(table, known, found)
    columns = (
        *_METRIC,
        *([TableColumn("bootstrap", "number of the resample", "integer")] if found.resampled else []),
    )
    key = (*_KEY, "column", *(["bootstrap"] if found.resampled else []))
    notes = [*_NOTES, *found.notes()]
    return long_table("FD-Shifts metrics", columns, key, frame_of(found.rows, columns), path, notes)


@dataclass
class _Read:
    """What was found in analysis tables, and how much was left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    first: dict[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    twice: int = 0
    contradicting: int = 0
    nameless: int = 0
    minus_one: int = 0
    legacy: bool = False
    resampled: bool = False

    def notes(self) -> Iterator[str]:
        if self.twice:
            others = f"; {self.contradicting} of them have other values than the first" if self.contradicting else ""
            yield (
                f"{self.twice} duplicate rows left out, as FD-Shifts' loader does: the first of each "
                f"{', '.join(_KEY[:-1])} and {_KEY[-1]} stays{others}"
            )
        if self.nameless:
            yield f"{self.nameless} rows without a name or a model left out, as FD-Shifts' loader does"
        if self.minus_one:
            yield f"{self.minus_one} values of -1 stand for none and are missing"
        if self.legacy:
            yield (
                "tables without augrc may have the older AURC, without the segment up to coverage 0: it is called "
                "legacy_aurc, and its excess legacy_excess_aurc; do not compare their last digits with aurc"
            )
        if self.others:
            yield f"columns left out: {', '.join(sorted(self.others))}"


def _add_table(table: Path, known: Mapping[str, Measure], found: _Read) -> None:
    """The rows of a table that FD-Shifts' loader takes, metric by metric."""
    header, lines = read_csv(table, ("study", "model", "confid"))
    if not known.keys() & set(header):
        raise UsageError(f"{table} has no column of a metric, such as augrc; it is no analysis of FD-Shifts.")
    found.others |= set(header) - known.keys() - {*_KEY, "fold", *(short for short, _ in _SETTINGS.values()), *_INDEX}
    found.resampled = found.resampled or "bootstrap_index" in header
    if "augrc" not in header:
        known = {**known, **{column: _legacy(known[column], name) for column, name in _LEGACY.items()}}
        found.legacy = found.legacy or bool(_LEGACY.keys() & set(header))
    experiment = "" if table.match(ANALYSIS) else table.stem
    for at, cells in lines:
        line = {"experiment": experiment, **cells}
        if any(line.get(name, "-").strip().lower() in _NONE for name in ("name", "model")):
            found.nameless += 1
            continue
        key = tuple(line.get(name, "") for name in (*_KEY, "bootstrap_index"))
        first = found.first.setdefault(key, line)
        if first is not line:
            found.twice += 1
            found.contradicting += any(line.get(column) != first.get(column) for column in known)
            continue
        found.rows += _metric_rows(line, f"{table}, line {at}", known, found)


def _legacy(measure: Measure, name: str) -> Measure:
    return Measure(name, measure.direction, measure.range, measure.unit, measure.factor)


def _metric_rows(
    line: Mapping[str, str], where: str, known: Mapping[str, Measure], found: _Read
) -> Iterator[dict[str, Any]]:
    count = line.get("n_test", "")
    rest = {
        **{name: line.get(name, "") for name in (*_KEY, "fold")},
        **_settings(line, where),
        "n": integer(count, f"{where}, column n_test") if count else None,
        "bootstrap": integer(line["bootstrap_index"], where) if line.get("bootstrap_index") else None,
    }
    for column, measure in known.items():
        if column not in line:
            continue
        value = number(line[column], f"{where}, column {column}")
        if value == -1 and measure.range[0] > -1:
            found.minus_one += 1
            value = math.nan
        if column in ("ece", "mce") and value < 0:
            value = math.nan
        yield {
            **rest,
            "metric": measure.id if column in _OURS else "",
            "column": column,
            "direction": measure.direction,
            "unit": measure.unit,
            "factor": measure.factor,
            **status_and_value(value, measure, f"{where}, column {column}"),
        }


def _settings(line: Mapping[str, str], where: str) -> dict[str, float | None]:
    """Settings of the training: from the network's name, as FD-Shifts takes them, else from columns of their own."""
    settings: dict[str, float | None] = {}
    for name, (short, form) in _SETTINGS.items():
        named = re.findall(rf"(?<![^_/]){short}({form or _NUMBER})(?![^_/])", line.get("name", ""))
        text = named[-1] if named else line.get(short, "")
        read = integer if name in ("run", "dropout") else number
        settings[name] = None if text.strip().lower() in _NONE else read(text, f"{where}, column {short}")
    return settings


def _measures(measures: Mapping[str, Measured]) -> dict[str, Measure]:
    """By column, in the units of the files."""
    found = dict(_THEIRS)
    for column, (name, factor) in _OURS.items():
        ours = measures[name]
        low, high = (bound * factor for bound in ours.range)
        unit = "nats" if name == "failure_nll" else "share" if factor == 1 else "x1000"
        found[column] = Measure(name, "higher" if ours.direction == "higher" else "lower", (low, high), unit, factor)
    return found

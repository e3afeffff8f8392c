"""FD-Shifts: what a network said of each sample, and the tables of its analysis.

Jaeger et al. 2023, "A Call to Reflect on Evaluation Practices for Failure Detection in Image Classification"; Traub et
al. 2024, "Overcoming Common Flaws in the Evaluation of Selective Classification Systems".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.fdshifts import read_fdshifts
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
    refuse_pickle,
    status_and_value,
)
from harness.spec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ANALYSIS = "analysis_metrics_*.csv"
_SAMPLE = (
    TableColumn("dataset_idx", "number of the set of samples, 0 for validation", "integer"),
    TableColumn("sample", "position among the samples of that set", "integer"),
    TableColumn("label", "true class; below 0 where it is none of the network's", "integer"),
    TableColumn("prediction", "class of the highest logit or probability", "integer"),
)
_METRIC = (
    TableColumn("name", "experiment"),
    TableColumn("study", "question that is asked, such as iid_study"),
    TableColumn("model", "how the network was trained"),
    TableColumn("network", "backbone"),
    TableColumn("fold", "independent training"),
    TableColumn("confid", "confidence score"),
    TableColumn("metric", "id of the harness's metric; empty where it has none of this meaning"),
    TableColumn("column", "name of the metric in the file"),
    TableColumn("direction", "higher or lower is better"),
    TableColumn("unit", "of the value: share, x1000 or %"),
    TableColumn("factor", "the value is the harness's times this", "real"),
    TableColumn("n", "samples", "integer"),
    TableColumn("value", "as in the file; empty unless the status is ok", "real"),
    TableColumn("status", "ok, missing or infinite"),
)
_IDS = ("name", "study", "model", "network", "fold", "confid")

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


def read_fdshifts_results(path: Path, measures: Mapping[str, Measured], options: Mapping[str, str]) -> Imported:
    """A folder of inference results, sample by sample; or analysis tables, `analysis_metrics_*.csv` or their folder.

    measures: the harness's metrics by id. options: `logits` ("yes") adds the logits or probabilities of each class.
    Raises UsageError for what is neither, IntegrityError for damaged files and values that a metric cannot have.
    """
    refuse_pickle(path)
    if path.suffix == ".csv":
        return _analysis([path], path, measures)
    if not path.is_dir():
        raise UsageError(f"{path} is neither a folder of FD-Shifts nor a file {_ANALYSIS}.")
    tables = sorted(path.glob(_ANALYSIS))
    roots = (path, path / "test_results")
    if any((root / name).is_file() for root in roots for name in ("raw_logits.npz", "raw_output.npz")):
        note = [f"{len(tables)} analysis tables lie beside the outputs; name them to import them"] if tables else []
        return _samples(path, options.get("logits") == "yes", note)
    if not tables:
        raise UsageError(f"{path} holds neither raw_logits.npz nor raw_output.npz nor a table {_ANALYSIS}.")
    return _analysis(tables, path, measures)


def _samples(path: Path, logits: bool, notes: list[str]) -> Imported:
    import pandas as pd

    folder = read_fdshifts(path)
    tables = [_set_table(index, folder.sets[index], folder.labels[index], logits) for index in sorted(folder.sets)]
    rows = pd.concat(tables, ignore_index=True)
    added = [TableColumn(name, _meaning(name), "real") for name in rows.columns[4:]]
    return long_table("FD-Shifts outputs", (*_SAMPLE, *added), ("dataset_idx", "sample"), rows, path, notes)


def _set_table(index: int, arrays: Mapping[str, np.ndarray], labels: np.ndarray, logits: bool) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    kind = "logits" if "logits" in arrays else "probabilities"
    columns: dict[str, Any] = {
        "dataset_idx": index,
        "sample": np.arange(len(labels)),
        "label": labels,
        "prediction": arrays[kind].argmax(axis=1),
    }
    if "head_confidence" in arrays:
        columns["head_confidence"] = arrays["head_confidence"].astype(np.float64)
    if "mc_head_confidence" in arrays:
        columns["mc_head_confidence"] = arrays["mc_head_confidence"].mean(axis=0, dtype=np.float64)
    if logits:
        for each, values in enumerate(arrays[kind].T):
            columns[f"{kind}_{each}"] = values.astype(np.float64)
    return pd.DataFrame(columns)


def _meaning(name: str) -> str:
    if name == "head_confidence":
        return "confidence of the trained head, higher = more confident"
    if name == "mc_head_confidence":
        return "the same, mean over Monte-Carlo dropout"
    kind, _, each = name.rpartition("_")
    return f"{kind} of class {each}"


def _analysis(tables: list[Path], path: Path, measures: Mapping[str, Measured]) -> Imported:
    known = _measures(measures)
    rows: list[dict[str, Any]] = []
    others: set[str] = set()
    resampled = False
    for table in tables:
        header, lines = read_csv(table, ("study", "model", "confid"))
        if not known.keys() & set(header):
            raise UsageError(f"{table} has no column of a metric, such as augrc; it is no analysis of FD-Shifts.")
        others |= set(header) - known.keys() - {*_IDS, "n_test", "bootstrap_index", ""}
        resampled = resampled or "bootstrap_index" in header
        for at, line in lines:
            rows += _metric_rows(line, f"{table}, line {at}", known)
    columns = (*_METRIC, *([TableColumn("bootstrap", "number of the resample", "integer")] if resampled else []))
    key = (*_IDS, "column", *(["bootstrap"] if resampled else []))
    notes = [*_NOTES, *([f"columns left out: {', '.join(sorted(others))}"] if others else [])]
    return long_table("FD-Shifts metrics", columns, key, frame_of(rows, columns), path, notes)


def _metric_rows(line: Mapping[str, str], where: str, known: Mapping[str, Measure]) -> Iterator[dict[str, Any]]:
    count = line.get("n_test", "")
    ids = {name: line.get(name, "") for name in _IDS}
    rest = {
        "n": integer(count, f"{where}, column n_test") if count else None,
        "bootstrap": integer(line["bootstrap_index"], where) if line.get("bootstrap_index") else None,
    }
    for column, measure in known.items():
        if column not in line:
            continue
        value = number(line[column], f"{where}, column {column}")
        if column in ("ece", "mce") and value < 0:
            value = math.nan
        yield {
            **ids,
            **rest,
            "metric": measure.id if column in _OURS else "",
            "column": column,
            "direction": measure.direction,
            "unit": measure.unit,
            "factor": measure.factor,
            **status_and_value(value, measure, f"{where}, column {column}"),
        }


def _measures(measures: Mapping[str, Measured]) -> dict[str, Measure]:
    """By column, in the units of the files."""
    found = dict(_THEIRS)
    for column, (name, factor) in _OURS.items():
        ours = measures[name]
        low, high = (bound * factor for bound in ours.range)
        unit = "nats" if name == "failure_nll" else "share" if factor == 1 else "x1000"
        found[column] = Measure(name, "higher" if ours.direction == "higher" else "lower", (low, high), unit, factor)
    return found

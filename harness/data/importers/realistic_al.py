"""realistic-al: areas under budget curves as its authors tabulate them, and what a single campaign stores.

Lüth et al. 2023, "Navigating the Pitfalls of Active Learning Evaluation: A Systematic Framework for Meaningful
Performance Assessment".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.importers.base import (
    Imported,
    Measure,
    Measured,
    TableColumn,
    check_range,
    frame_of,
    integer,
    long_table,
    number,
    read_csv,
    refuse_objects,
    refuse_pickle,
    status_and_value,
)
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays

_AREAS = (
    TableColumn("dataset", "data set, as query-realistic-al names it"),
    TableColumn("regime", "label regime: low, medium or high"),
    TableColumn(
        "training", "how networks are trained: st (from scratch), self-sl (SimCLR first) or semi-sl (FixMatch)"
    ),
    TableColumn("method", "query method"),
    TableColumn("metric", "id of the metric"),
    TableColumn("direction", "higher or lower is better"),
    TableColumn("value", "mean over seeds; empty unless the status is ok", "real"),
    TableColumn("std", "standard deviation over seeds", "real"),
    TableColumn("status", "ok or missing"),
)
_LOOPS = (
    TableColumn("loop", "training, from 0 on the start", "integer"),
    TableColumn("samples", "labelled by then", "integer"),
    TableColumn("metric", "name of the metric in the file, such as test_acc"),
    TableColumn("value", "share; empty unless the status is ok", "real"),
    TableColumn("status", "ok, missing or infinite"),
)
_HEADER = ("dataset", "label_regime", "training", "query_method", "aubc_mean", "aubc_std")
_NOTES = ("areas of isic2019 and miotcd are under curves of the mean recall, the others under those of the accuracy",)
_DATASETS = {
    "cifar10": "cifar10",
    "cifar10_imb": "cifar10-lt",
    "cifar100": "cifar100",
    "isic2019": "isic2019",
    "miotcd": "miotcd",
}
_REGIMES = {"low": "low", "med": "medium", "high": "high"}
_TRAININGS = {"Standard Training": "st", "Self-SL Pre-Trained": "self-sl", "Semi-SL": "semi-sl"}
"""Names of the authors -> those of the benchmark query-realistic-al."""

_SHARE = Measure("share", "higher", (0, 1))


def read_realistic_al(path: Path, measures: Mapping[str, Measured], options: Mapping[str, str]) -> Imported:
    """`AUBC_tidy.csv`, or `stored.npz` or `test_metrics.csv` of one campaign.

    measures: the harness's metrics by id. Raises UsageError for another file and pickles, IntegrityError for damaged
    ones and values that a metric cannot have.
    """
    refuse_pickle(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name AUBC_tidy.csv, or a campaign's stored.npz or test_metrics.csv.")
    if path.suffix == ".npz":
        return _stored(path)
    header, lines = read_csv(path, ())
    if set(_HEADER) <= set(header):
        rows = [_area(line, f"{path}, line {at}", measures["aubc"]) for at, line in lines]
        key = ("dataset", "regime", "training", "method", "metric")
        return long_table("realistic-al areas", _AREAS, key, frame_of(rows, _AREAS), path, _NOTES)
    if header[0] in ("", "loop") and len(header) > 1:
        return _by_loop(_tested(path, header, lines), path)
    raise IntegrityError(
        f"{path} is no table of realistic-al: it has neither the columns {', '.join(_HEADER)} nor numbered loops."
    )


def _area(line: Mapping[str, str], where: str, measure: Measured) -> dict[str, Any]:
    value, std = number(line["aubc_mean"], f"{where}, column aubc_mean"), number(line["aubc_std"], where)
    check_range(std, Measure("standard deviation", "lower", (0, 1)), f"{where}, column aubc_std")
    return {
        "dataset": _named(line["dataset"], _DATASETS, f"{where}, column dataset"),
        "regime": _named(line["label_regime"].rpartition("_")[2], _REGIMES, f"{where}, column label_regime"),
        "training": _named(line["training"], _TRAININGS, f"{where}, column training"),
        "method": line["query_method"],
        "metric": measure.id,
        "direction": measure.direction,
        "std": std,
        **status_and_value(value, measure, f"{where}, column aubc_mean"),
    }


def _named(name: str, names: Mapping[str, str], where: str) -> str:
    if name not in names:
        raise IntegrityError(f"{where}: {name!r} is none of {', '.join(names)}.")
    return names[name]


def _stored(path: Path) -> Imported:
    refuse_objects(path)
    arrays = read_arrays(path)
    names = [name for name in ("val_acc", "test_acc") if name in arrays]
    if "num_samples" not in arrays or not names:
        raise IntegrityError(f"{path} holds {', '.join(sorted(arrays))}; a campaign stores num_samples and test_acc.")
    samples = arrays["num_samples"].reshape(-1)
    rows = []
    for name in names:
        values = arrays[name].reshape(-1)
        if len(values) != len(samples) or values.dtype.kind not in "fiu" or samples.dtype.kind not in "iuf":
            raise IntegrityError(f"{path}: {name} and num_samples must be numbers, one for each loop.")
        rows += [
            {
                "loop": loop,
                "samples": int(count),
                "metric": name,
                "value": float(value),
                "where": f"{path}, {name}[{loop}]",
            }
            for loop, (count, value) in enumerate(zip(samples, values, strict=True))
        ]
    return _by_loop(rows, path)


def _tested(path: Path, header: list[str], lines: list[tuple[int, dict[str, str]]]) -> Iterator[dict[str, Any]]:
    for at, line in lines:
        loop = integer(line[header[0]], f"{path}, line {at}, first column")
        samples = line.get("num_samples", "")
        for name in header[1:]:
            if name != "num_samples":
                where = f"{path}, line {at}, column {name}"
                yield {
                    "loop": loop,
                    "samples": integer(samples, where) if samples else None,
                    "metric": name,
                    "value": number(line[name], where),
                    "where": where,
                }


def _by_loop(rows: Any, path: Path) -> Imported:
    checked = [
        {**row, **status_and_value(row["value"], _SHARE if "acc" in row["metric"] else None, row["where"])}
        for row in rows
    ]
    return long_table("realistic-al campaign", _LOOPS, ("loop", "metric"), frame_of(checked, _LOOPS), path)

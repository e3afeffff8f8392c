"""nnActive's released results as long tables; what reads them stands in `harness.tracks.query.published`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.importers.base import (
    OK,
    Imported,
    Measure,
    TableColumn,
    check_range,
    frame_of,
    long_table,
    refuse_pickle,
    status_of,
)
from harness.spec.errors import UsageError
from harness.tracks.query.loop_files import read_loops
from harness.tracks.query.published import read_auc, read_beta, read_full_performance, read_ppm, read_runs

if TYPE_CHECKING:
    import pandas as pd

_VALUE = (
    TableColumn("value", "empty unless the status is ok", "real"),
    TableColumn("status", "ok, missing or infinite"),
)
_RUNS = (
    TableColumn("dataset", "nnU-Net's name of the data set"),
    TableColumn("setting", "trainer, patch, start and query size"),
    TableColumn("method", "query strategy"),
    TableColumn("seed", "of the campaign", "integer"),
    TableColumn("loop", "training, from 0 on the start", "integer"),
    TableColumn("loops", "how many are planned", "integer"),
    TableColumn("patches", "annotated by then", "integer"),
    TableColumn(
        "metric", "mean_dice: mean over foreground classes of the mean over cases, in [0, 1], higher is better"
    ),
    *_VALUE,
)
_AREAS = (
    TableColumn("method", "query strategy"),
    TableColumn("measure", "as in the file, such as Mean Dice AUBC"),
    TableColumn("statistic", "mean, std or count over seeds"),
    *_VALUE,
)
_EFFICIENCY = (
    TableColumn("method", "query strategy"),
    TableColumn("metric", "foreground_efficiency: how fast the curve rises, higher is better"),
    TableColumn("variance", "of the fit; the file calls it beta_std", "real"),
    *_VALUE,
)
_PENALTIES = (
    TableColumn("method", "query strategy"),
    TableColumn("rival", "the strategy that it is held against"),
    TableColumn(
        "metric", "pairwise_penalty: share of the budgets at which the method is significantly better, in [0, 1]"
    ),
    *_VALUE,
)
_PATCHES = (
    TableColumn("loop", "in which it was annotated", "integer"),
    TableColumn("position", "in the loop's file", "integer"),
    TableColumn("image", "name of the case"),
    TableColumn("corner", "z,y,x of the lowest voxel"),
    TableColumn("size", "z,y,x in voxels, or whole"),
)
_FULL = (
    TableColumn("dataset", "nnU-Net's name of the data set"),
    TableColumn("trainer", "nnU-Net's trainer; its name tells the epochs"),
    TableColumn("metric", "mean_dice, in [0, 1], higher is better"),
    *_VALUE,
)
_DICE = Measure("mean_dice", "higher", (0, 1))
_SHARE = Measure("share of the budgets", "higher", (0, 1))


def read_nnactive(path: Path, options: Mapping[str, str]) -> Imported:
    """What a file or folder of nnActive's holds.

    A folder of results (config.json and loop_000/summary.json): curves; `raw` names the folder of raw data whose loop
    files count the patches. A folder of loop files: patches. A folder of files
    `<data set>__<trainer>.json`: performance on all labels. Files auc.json, beta.json, ppm.json: the authors' analysis.
    `analysis.pkl` is never opened. Raises UsageError for anything else, IntegrityError for damaged files.
    """
    refuse_pickle(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist.")
    if path.is_file():
        readers = {"auc.json": _auc, "beta.json": _beta, "ppm.json": _ppm}
        if path.name not in readers:
            raise UsageError(f"{path} is none of {', '.join(readers)}; of campaigns, give the folder.")
        return readers[path.name](path)
    if any((path / name).is_file() for name in ("auc.json", "beta.json", "ppm.json")):
        raise UsageError(f"{path} holds an analysis in several tables; name its auc.json, beta.json or ppm.json.")
    if any(path.glob("loop_*.json")):
        return _patches(path)
    if any(path.glob("*__*.json")):
        return _full(path)
    return _runs(path, Path(options["raw"]) if "raw" in options else None)


def _runs(path: Path, raw: Path | None) -> Imported:
    frame = read_runs(path, raw).assign(metric="mean_dice")
    key = ("dataset", "setting", "method", "seed", "loop")
    pickles = sorted(found.name for found in path.rglob("*.pkl"))
    notes = [f"{len(pickles)} pickles ({pickles[0]}) were left unopened: a pickle can run any code"] if pickles else []
    return _table("nnActive curves", _RUNS, key, frame, path, _DICE, notes)


def _auc(path: Path) -> Imported:
    frame = read_auc(path).melt(["method", "measure"], var_name="statistic", ignore_index=True)
    frame = frame.sort_values(["method", "measure", "statistic"], kind="stable", ignore_index=True)
    return _table("nnActive areas", _AREAS, ("method", "measure", "statistic"), frame, path)


def _beta(path: Path) -> Imported:
    frame = read_beta(path).rename(columns={"efficiency": "value"}).assign(metric="foreground_efficiency")
    return _table("nnActive foreground efficiency", _EFFICIENCY, ("method",), frame, path)


def _ppm(path: Path) -> Imported:
    matrix = read_ppm(path)
    rows = [
        {"method": method, "rival": rival, "metric": "pairwise_penalty", "value": float(matrix.loc[method, rival])}
        for method in matrix.index
        for rival in matrix.columns
        if method != rival
    ]
    frame = frame_of(rows, _PENALTIES)
    return _table("nnActive pairwise penalties", _PENALTIES, ("method", "rival"), frame, path, _SHARE)


def _full(path: Path) -> Imported:
    frame = read_full_performance(path).rename(columns={"dice": "value"}).assign(metric="mean_dice")
    return _table("nnActive full performance", _FULL, ("dataset", "trainer"), frame, path, _DICE)


def _patches(path: Path) -> Imported:
    rows = [
        {
            "loop": loop,
            "position": position,
            "image": image,
            "corner": ",".join(map(str, corner)),
            "size": size if isinstance(size, str) else ",".join(map(str, size)),
        }
        for loop, patches in enumerate(read_loops(path))
        for position, (image, corner, size) in enumerate(patches)
    ]
    return long_table("nnActive patches", _PATCHES, ("loop", "position"), frame_of(rows, _PATCHES), path)


def _table(
    title: str,
    columns: tuple[TableColumn, ...],
    key: tuple[str, ...],
    frame: pd.DataFrame,
    path: Path,
    measure: Measure | None = None,
    notes: list[str] | None = None,
) -> Imported:
    """Values checked and given their status."""
    values = [float(value) for value in frame["value"]]
    status = [status_of(value) for value in values]
    for row, value in enumerate(values):
        if measure is not None:
            described = ", ".join(str(frame[name].iloc[row]) for name in key)
            check_range(value, measure, f"{path}, {described}")
    checked = frame.assign(value=[value if status_of(value) == OK else math.nan for value in values], status=status)
    return long_table(title, columns, key, checked, path, notes or ())

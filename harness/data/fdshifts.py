"""Reader for inference results in the FD-Shifts layout.

A folder (or its `test_results`) holds, each as the array `arr_0` of an `.npz`:
`raw_logits.npz` (N, d + 2): logits | label | dataset_idx, or `raw_output.npz` with soft-max instead;
and optionally `raw_logits_dist.npz` / `raw_output_dist.npz` (N, d, M), `external_confids.npz` (N,),
`external_confids_dist.npz` (N, M), `encoded_output.npz` (N, f + 1): features | dataset_idx,
`train_features.npz` (n, f + 1): features | label, `last_layer.npz` with `w` (d, f) and `b` (d,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np

_FILES = (
    "raw_logits.npz",
    "raw_output.npz",
    "raw_logits_dist.npz",
    "raw_output_dist.npz",
    "external_confids.npz",
    "external_confids_dist.npz",
    "encoded_output.npz",
    "train_features.npz",
    "last_layer.npz",
)
_MOST_BYTES = 1 << 36


@dataclass(frozen=True)
class FDShiftsFolder:
    """What a folder holds, split by dataset_idx.

    `sets[idx]` has `logits` or `probabilities` (n, d) and, where stored, `features`, `mc_logits` or
    `mc_probabilities` (M, n, d), `head_confidence`, `mc_head_confidence` (M, n); `labels[idx]` (n,);
    `train` the rows of `train_features.npz`; `last_layer` has `weight` and `bias`.
    """

    sets: Mapping[int, dict[str, np.ndarray]]
    labels: Mapping[int, np.ndarray]
    train: dict[str, np.ndarray] | None
    last_layer: dict[str, np.ndarray]


def stored_files(folder: Path) -> list[Path]:
    """The files of the layout that exist, in a fixed order. Raises UsageError if the outputs are missing."""
    root = _results(folder)
    present = [root / name for name in _FILES if (root / name).is_file()]
    if not any(path.name in ("raw_logits.npz", "raw_output.npz") for path in present):
        raise UsageError(f"{root} has neither raw_logits.npz nor raw_output.npz; it is no FD-Shifts result folder.")
    return present


def read_fdshifts(folder: Path) -> FDShiftsFolder:
    """Read a folder. Raises UsageError where it is no such folder, IntegrityError where files disagree."""
    import numpy as np

    present = {path.name: path for path in stored_files(folder)}
    kind = "logits" if "raw_logits.npz" in present else "probabilities"
    raw = _array(present["raw_logits.npz" if kind == "logits" else "raw_output.npz"])
    if raw.ndim != 2 or raw.shape[1] < 4:
        raise IntegrityError(f"{folder}: outputs have shape {raw.shape}, expected (N, classes + 2)")
    index = raw[:, -1].astype(np.int64)
    columns = {kind: raw[:, :-2]} | _optional_columns(present, len(raw))
    labels = raw[:, -2].astype(np.int64)
    groups = {int(i): np.flatnonzero(index == i) for i in np.unique(index)}
    return FDShiftsFolder(
        sets={i: {name: _rows(name, values, rows) for name, values in columns.items()} for i, rows in groups.items()},
        labels={i: labels[rows] for i, rows in groups.items()},
        train=_train(present),
        last_layer=_last_layer(present),
    )


def _optional_columns(present: Mapping[str, Path], count: int) -> dict[str, np.ndarray]:
    """Everything beside the logits, with samples where `_rows` expects them."""
    import numpy as np

    columns: dict[str, np.ndarray] = {}
    if "encoded_output.npz" in present:
        columns["features"] = _array(present["encoded_output.npz"])[:, :-1]
    if "external_confids.npz" in present:
        columns["head_confidence"] = _array(present["external_confids.npz"]).reshape(-1)
    for name, file in (("mc_logits", "raw_logits_dist.npz"), ("mc_probabilities", "raw_output_dist.npz")):
        if file in present:
            columns[name] = np.moveaxis(_array(present[file]), 2, 0)
    if "external_confids_dist.npz" in present:
        columns["mc_head_confidence"] = _array(present["external_confids_dist.npz"]).T
    for name, values in columns.items():
        samples = values.shape[1] if name.startswith("mc_") else values.shape[0]
        if samples != count:
            raise IntegrityError(f"{name} has {samples} samples where the outputs have {count}")
    return columns


def _rows(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    chosen = values[:, rows] if name.startswith("mc_") else values[rows]
    return np.ascontiguousarray(chosen)


def _train(present: Mapping[str, Path]) -> dict[str, np.ndarray] | None:
    import numpy as np

    if "train_features.npz" not in present:
        return None
    table = _array(present["train_features.npz"])
    return {"features": np.ascontiguousarray(table[:, :-1]), "labels": table[:, -1].astype(np.int64)}


def _last_layer(present: Mapping[str, Path]) -> dict[str, np.ndarray]:
    if "last_layer.npz" not in present:
        return {}
    arrays = read_arrays(present["last_layer.npz"], max_bytes=_MOST_BYTES)
    if not {"w", "b"} <= arrays.keys():
        raise IntegrityError(f"{present['last_layer.npz']} must hold w and b, it holds {', '.join(sorted(arrays))}")
    return {"weight": arrays["w"], "bias": arrays["b"].reshape(-1)}


def _array(path: Path) -> np.ndarray:
    arrays = read_arrays(path, max_bytes=_MOST_BYTES)
    if "arr_0" not in arrays:
        raise IntegrityError(f"{path} has no array arr_0, only {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays["arr_0"]


def _results(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; paths in a benchmark file are relative to that file.")
    inner = folder / "test_results"
    return inner if inner.is_dir() else folder

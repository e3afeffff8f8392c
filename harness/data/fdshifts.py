"""Reader for inference results in the FD-Shifts layout.

A folder (or its `test_results`) holds, each as the array `arr_0` of an `.npz`:
`raw_logits.npz` (N, d + 2): logits | label | dataset_idx, or `raw_output.npz` with soft-max instead;
and optionally `raw_logits_dist.npz` / `raw_output_dist.npz` (N, d, M), `external_confids.npz` (N,),
`external_confids_dist.npz` (N, M), `encoded_output.npz` (N, f + 1): features | dataset_idx,
`train_features.npz` (n, f + 1): features | label, `last_layer.npz` with `w` (d, f) and `b` (d,), of DeepGamblers networks
with one more row for the reservation output, which the logits leave out.
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
_FLOAT16_SUM = 5e-3
"""How far from 1 a row of probabilities may sum up after each was rounded to float16."""


@dataclass(frozen=True)
class FDShiftsFolder:
    """What a folder holds, split by dataset_idx.

    `sets[idx]` has `logits` or `probabilities` (n, d) and, where stored, `features`, `mc_logits` or
    `mc_probabilities` (M, n, d), `head_confidence`, `mc_head_confidence` (M, n); `labels[idx]` (n,);
    `train` the rows of `train_features.npz`; `last_layer` has `weight` and `bias`, and `reservation_weight` (1, f) and
    `reservation_bias` (1,) where there is one row more than there are classes.
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
    path = present["raw_logits.npz" if kind == "logits" else "raw_output.npz"]
    raw = _array(path, 2)
    if raw.shape[1] < 4:
        raise IntegrityError(f"{path} has shape {raw.shape}, expected (N, classes + 2)")
    outputs, index = raw[:, :-2], _integers(raw[:, -1], path, "dataset_idx")
    if kind == "probabilities":
        _check_probabilities(outputs, path)
    columns = {kind: outputs} | _optional_columns(present, index, outputs.shape[1])
    train, last_layer = _train(present), _last_layer(present, outputs.shape[1])
    _check_widths(folder, columns, train, last_layer)
    labels = _integers(raw[:, -2], path, "label")
    groups = {int(i): np.flatnonzero(index == i) for i in np.unique(index)}
    return FDShiftsFolder(
        sets={i: {name: _rows(name, values, rows) for name, values in columns.items()} for i, rows in groups.items()},
        labels={i: labels[rows] for i, rows in groups.items()},
        train=train,
        last_layer=last_layer,
    )


def _optional_columns(present: Mapping[str, Path], index: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Everything beside the logits, with samples where `_rows` expects them."""
    import numpy as np

    columns: dict[str, np.ndarray] = {}
    if (path := present.get("encoded_output.npz")) is not None:
        table = _array(path, 2)
        _check_count(path, len(table), len(index))
        if not np.array_equal(table[:, -1], index):
            raise IntegrityError(f"{path} has other dataset_idx values than the outputs, so its rows are others")
        columns["features"] = table[:, :-1]
    if (path := present.get("external_confids.npz")) is not None:
        columns["head_confidence"] = _array(path).reshape(-1)
        _check_count(path, len(columns["head_confidence"]), len(index))
    for name, file in (("mc_probabilities", "raw_output_dist.npz"), ("mc_logits", "raw_logits_dist.npz")):
        if (path := present.get(file)) is not None:
            members = _array(path, 3)
            _check_count(path, len(members), len(index))
            if members.shape[1] != classes:
                raise IntegrityError(f"{path} has {members.shape[1]} classes where the outputs have {classes}")
            columns[name] = np.moveaxis(members, 2, 0)
    if {"mc_logits", "mc_probabilities"} <= columns.keys():
        del columns["mc_probabilities"]  # they follow from the logits: two sources could disagree
    if (path := present.get("external_confids_dist.npz")) is not None:
        columns["mc_head_confidence"] = _array(path, 2).T
        _check_count(path, columns["mc_head_confidence"].shape[1], len(index))
    return columns


def _rows(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    chosen = values[:, rows] if name.startswith("mc_") else values[rows]
    return np.ascontiguousarray(chosen)


def _train(present: Mapping[str, Path]) -> dict[str, np.ndarray] | None:
    import numpy as np

    if (path := present.get("train_features.npz")) is None:
        return None
    table = _array(path, 2)
    return {"features": np.ascontiguousarray(table[:, :-1]), "labels": _integers(table[:, -1], path, "label")}


def _last_layer(present: Mapping[str, Path], classes: int) -> dict[str, np.ndarray]:
    """At least float32, so that what is computed with it is; the row behind those of the classes by itself."""
    import numpy as np

    if (path := present.get("last_layer.npz")) is None:
        return {}
    arrays = read_arrays(path, max_bytes=_MOST_BYTES)
    if not {"w", "b"} <= arrays.keys():
        raise IntegrityError(f"{path} must hold w and b, it holds {', '.join(sorted(arrays))}")
    weight, bias = _checked(arrays["w"], path, 2), _checked(arrays["b"], path).reshape(-1)
    kind = np.promote_types(weight.dtype, np.float32)
    layer = {"weight": weight.astype(kind), "bias": bias.astype(kind)}
    if len(weight) != classes + 1 or len(bias) != classes + 1:
        return layer
    reservation = {f"reservation_{name}": rows[classes:] for name, rows in layer.items()}
    return {name: rows[:classes] for name, rows in layer.items()} | reservation


def _array(path: Path, dimensions: int | None = None) -> np.ndarray:
    arrays = read_arrays(path, max_bytes=_MOST_BYTES)
    if "arr_0" not in arrays:
        raise IntegrityError(f"{path} has no array arr_0, only {', '.join(sorted(arrays)) or 'nothing'}")
    return _checked(arrays["arr_0"], path, dimensions)


def _checked(array: np.ndarray, path: Path, dimensions: int | None = None) -> np.ndarray:
    """Finite numbers in this machine's byte order, the only one that torch takes."""
    import numpy as np

    if array.dtype.kind not in "fiu":
        raise IntegrityError(f"{path} holds {array.dtype}, not numbers")
    if dimensions is not None and array.ndim != dimensions:
        raise IntegrityError(f"{path} has shape {array.shape}, expected {dimensions} dimensions")
    if not np.isfinite(array).all():
        raise IntegrityError(f"{path} holds NaN or infinite values")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _integers(column: np.ndarray, path: Path, name: str) -> np.ndarray:
    import numpy as np

    integers = column.astype(np.int64)
    if not np.array_equal(integers, column):
        raise IntegrityError(f"{path}: the column {name} holds values that are not integers")
    return integers


def _check_count(path: Path, samples: int, expected: int) -> None:
    if samples != expected:
        raise IntegrityError(f"{path} has {samples} samples where the outputs have {expected}")


def _check_probabilities(values: np.ndarray, path: Path) -> None:
    import numpy as np

    sums = values.sum(axis=1, dtype=np.float64)
    if values.min(initial=0) < 0 or not np.allclose(sums, 1.0, atol=_FLOAT16_SUM):
        raise IntegrityError(f"{path} holds no probabilities: rows are negative or do not sum to 1")


def _check_widths(
    folder: Path,
    columns: Mapping[str, np.ndarray],
    train: dict[str, np.ndarray] | None,
    last_layer: dict[str, np.ndarray],
) -> None:
    """Features of test and training data and the last layer must belong to one network."""
    widths = {"encoded_output.npz": columns["features"].shape[1]} if "features" in columns else {}
    if train is not None:
        widths["train_features.npz"] = train["features"].shape[1]
    if last_layer:
        classes, widths["last_layer.npz"] = last_layer["weight"].shape
        outputs = columns["logits" if "logits" in columns else "probabilities"].shape[1]
        if (classes, last_layer["bias"].shape) != (outputs, (outputs,)):
            raise IntegrityError(f"{folder}: last_layer.npz has {classes} classes where the outputs have {outputs}")
    if len(set(widths.values())) > 1:
        described = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise IntegrityError(f"{folder}: the numbers of features disagree: {described}")


def _results(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; paths in a benchmark file are relative to that file.")
    inner = folder / "test_results"
    return inner if inner.is_dir() else folder

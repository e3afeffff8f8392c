"""Reader for tables of a user's: outputs of a model, or results alone, one row for each sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.columns import TableFile, open_columns
from harness.spec.errors import UsageError, row_of, unknown
from harness.spec.grids import Model
from harness.spec.sources import ResultsSource, TableSet, TableSource
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RESULTS = {
    "label": "the true class",
    "prediction": "the predicted class",
    "confidence": "higher = more confident",
}
"""The columns of a table of results, with what they hold."""
_SET, _ID = "set", "id"
_SUM_TOLERANCE = 1.01e-3  # how far from 1 a row of rounded probabilities may sum up


@dataclass(frozen=True)
class OutputTable:
    """What a table holds of n samples.

    arrays: by the names that methods know, float32 or float64 as in the file, with samples along the first axis (the
    second in `mc_...`). labels (n,). rows: of each set of samples that the table names, if it names any. ids (n,): names of
    samples, if there are any.
    """

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray
    rows: Mapping[str, np.ndarray] | None
    ids: pa.Array | None


def read_table(path: Path, source: TableSource, model: Model) -> OutputTable:
    """Read and check the table of a model. Raises UsageError or IntegrityError with what to mend."""
    file = open_columns(path)
    names = source.arrays_of(model)
    arrays = {name: _floats(file, path, column) for name, column in names.items()}
    values = arrays[source.holds]
    if values.ndim != 2 or values.shape[1] < 2:
        raise IntegrityError(f"{path}: {source.values} has shape {values.shape}, expected (n, classes)")
    _check_rows(path, len(values))
    for name, column in names.items():
        if name.startswith("mc_"):
            arrays[name] = _samples_second(file, path, column, arrays[name])
        _check_shape(path, name, column, arrays[name], values.shape)
        _check_finite(arrays[name], path, column, axis=1 if name.startswith("mc_") else 0)
        if name.endswith(("logits", "probabilities")):
            _check_kind(arrays[name], name, path, column)
    labels = _class_indices(file, path, source.labels, len(values))
    return OutputTable(arrays, labels, *_names(file, path, source.set_column, source.id_column, len(values)))


def read_results(path: Path, source: ResultsSource) -> OutputTable:
    """Read and check a table of results: its arrays are `head_confidence` and `predictions`.

    Raises UsageError or IntegrityError with what to mend.
    """
    file = open_columns(path)
    lacking = [name for name in RESULTS if name not in file.names]
    if lacking:
        advice = "rename them" if len(file.names) > 1 else "separate columns by commas"
        raise UsageError(
            f"{path} has no column {' and no column '.join(lacking)}; results have the columns "
            f"{', '.join(f'{name} ({what})' for name, what in RESULTS.items())}, and the columns of this file are "
            f"{', '.join(file.names)}: {advice}."
        )
    confidence = _floats(file, path, "confidence")
    if confidence.ndim != 1:
        raise IntegrityError(f"{path}: confidence has shape {confidence.shape}, expected one number for each row")
    _check_rows(path, len(confidence))
    _check_finite(confidence, path, "confidence")
    predictions = _class_indices(file, path, "prediction", len(confidence))
    _check_predictions(predictions, source.classes, path)
    arrays = {"head_confidence": confidence, "predictions": predictions}
    labels = _class_indices(file, path, "label", len(confidence))
    return OutputTable(arrays, labels, *_names(file, path, _SET, _ID, len(confidence)))


def rows_of(table: OutputTable, chosen: TableSet, path: Path) -> np.ndarray:
    """Row numbers of a sample set."""
    import numpy as np

    count = len(table.labels)
    if chosen.rows == "all":
        return np.arange(count)
    if chosen.rows is not None:
        first, end = chosen.rows
        if end > count:
            raise UsageError(f"{path} has {count} rows, but a set asks for rows {first} to {end}.")
        return np.arange(first, end)
    if table.rows is None:
        raise UsageError(f"{path} has no column of set names; give sets as {{rows = [first, end]}}.")
    named = str(chosen.named)
    if named not in table.rows:
        raise unknown(f"set of samples in {path}", named, table.rows)
    return table.rows[named]


def _floats(file: TableFile, path: Path, name: str) -> np.ndarray:
    """Never less than what the file holds: float32 would tie rows that it tells apart."""
    import numpy as np

    values = file.numbers(name)
    if values.dtype.kind == "b":
        raise IntegrityError(f"{path}: {name} holds {values.dtype}, not numbers")
    precision = np.float32 if values.dtype.kind == "f" and values.dtype.itemsize <= 4 else np.float64
    return values.astype(precision, copy=False)


def _samples_second(file: TableFile, path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """(members, n, classes): an array is stored so, a column has (members, classes) in each row."""
    import numpy as np

    return values if path.suffix == ".npz" or values.ndim != 3 else np.moveaxis(values, 1, 0)


def _check_rows(path: Path, count: int) -> None:
    if not count:
        raise IntegrityError(f"{path} has no rows.")


def _check_shape(path: Path, name: str, column: str, values: np.ndarray, outputs: tuple[int, ...]) -> None:
    """Whether an array is of the samples and the classes of the outputs (n, classes)."""
    count, classes = outputs
    wanted: tuple[int | str, ...] = outputs
    if name.startswith("mc_"):
        wanted = ("members", count, classes)
    elif name == "features":
        wanted = (count, "features")
    elif name == "head_confidence":
        wanted = (count,)
    fits = len(values.shape) == len(wanted) and all(
        size > 0 if isinstance(each, str) else size == each for size, each in zip(values.shape, wanted, strict=True)
    )
    if not fits:
        said = ", ".join(map(str, wanted)) + ("," if len(wanted) == 1 else "")
        raise IntegrityError(f"{path}: {column} has shape {values.shape}, expected ({said})")


def _check_finite(values: np.ndarray, path: Path, name: str, axis: int = 0) -> None:
    """Through the extremes, which are NaN or infinite where any value is: that needs no second array."""
    import numpy as np

    if math.isfinite(values.min()) and math.isfinite(values.max()):
        return
    bad = ~np.isfinite(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).all(axis=1)
    raise IntegrityError(f"{path}: {name} holds NaN or infinite values, first in {row_of(int(bad.argmax()))}")


def _check_kind(values: np.ndarray, name: str, path: Path, column: str) -> None:
    """Logits and probabilities are told apart by the sums of rows."""
    kind, probabilities = name.removeprefix("mc_"), are_probabilities(values)
    if probabilities == (kind == "probabilities"):
        return
    other = "probabilities" if probabilities else "logits"
    advice = f'say holds = "{other}".' if name == kind else f"name them mc_{other}."
    if probabilities:
        raise UsageError(f"{path}: rows of {column} sum to 1; these are probabilities, {advice}")
    raise UsageError(f"{path}: {column} {_deviation(values)}; if these are logits, {advice}")


def _deviation(values: np.ndarray) -> str:
    """The row that is furthest from probabilities, and by how much: the most negative value, else the worst sum."""
    import numpy as np

    rows = values.reshape(-1, values.shape[-1])  # of members one after the other
    lowest = rows.min(axis=1)
    row = int(lowest.argmin())
    if lowest[row] < 0:
        return f"has {lowest[row]:g} in {row_of(row % values.shape[-2])}, and probabilities are never negative"
    sums = rows.sum(axis=1, dtype=np.float64)
    row = int(np.abs(sums - 1).argmax())
    return (
        f"sums to {sums[row]:.6g} in {row_of(row % values.shape[-2])}, {abs(sums[row] - 1):.2g} away from 1; where "
        f"{_SUM_TOLERANCE:.1g} is too strict for rounded probabilities, divide each row by its sum"
    )


def are_probabilities(values: np.ndarray) -> bool:
    """Whether no value (..., classes) is negative and those of each row sum to 1, up to rounding."""
    import numpy as np

    if values.min() < 0:
        return False
    for part in values if values.ndim > 2 else [values]:  # member by member: sums of all would take as much as they do
        sums = part.sum(axis=-1, dtype=np.float64)
        if max(sums.max() - 1, 1 - sums.min()) > _SUM_TOLERANCE:
            return False
    return True


def _class_indices(file: TableFile, path: Path, name: str, count: int) -> np.ndarray:
    """(n,) int64; samples of unknown classes may have any, so their range is not looked at."""
    import numpy as np

    try:
        indices = file.numbers(name)
    except IntegrityError as error:
        raise IntegrityError(f"{error}; it must hold class indices, whole numbers in every row") from None
    if path.suffix == ".npz" and indices.size == len(indices):
        indices = indices.reshape(-1)
    if indices.shape != (count,):
        raise IntegrityError(f"{path}: {name} has shape {indices.shape}, expected ({count},)")
    if indices.dtype.kind == "f":
        odd = ~np.isfinite(indices) | (indices != np.round(indices))
        if odd.any():
            row = int(odd.argmax())
            raise IntegrityError(
                f"{path}: {name} must hold class indices, whole numbers in every row; {row_of(row)} has "
                f"{indices[row]:g}"
            )
    return indices.astype(np.int64, copy=False)


def _check_predictions(predictions: np.ndarray, classes: int | None, path: Path) -> None:
    outside = predictions < 0 if classes is None else (predictions < 0) | (predictions >= classes)
    if outside.any():
        row = int(outside.argmax())
        known = f"the {classes} classes are numbered 0 to {classes - 1}" if classes else "classes are numbered from 0"
        raise UsageError(f"{path}: {row_of(row)} has the prediction {predictions[row]}, but {known}.")


def _names(
    file: TableFile, path: Path, sets: str, ids: str, count: int
) -> tuple[dict[str, np.ndarray] | None, pa.Array | None]:
    """Rows of each named set, and names of samples, where there are any."""
    found = {name: file.texts(name) for name in (sets, ids) if name in file.names}
    for name, texts in found.items():
        if len(texts) != count:
            raise IntegrityError(f"{path}: {name} has shape ({len(texts)},), expected ({count},)")
    if ids in found:
        _check_ids(found[ids], path, ids)
    return (_groups(found[sets]) if sets in found else None), found.get(ids)


def _groups(names: pa.Array) -> dict[str, np.ndarray]:
    """Rows of each text, in their order; empty cells and texts belong to none."""
    import numpy as np

    encoded = names.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    texts = encoded.dictionary.to_pylist()
    return {text: order[bounds[at] : bounds[at + 1]] for at, text in enumerate(texts) if text}


def _check_ids(ids: pa.Array, path: Path, name: str) -> None:
    if ids.null_count:
        row = ids.is_null().index(True).as_py()
        raise IntegrityError(f"{path}: {name} is empty in {row_of(row)}; every sample needs one, or none")
    counts = ids.value_counts()
    if len(counts) < len(ids):
        most = counts.field("values")[int(counts.field("counts").to_numpy().argmax())]
        raise IntegrityError(f"{path}: {name} {most.as_py()!r} stands in more than one row")

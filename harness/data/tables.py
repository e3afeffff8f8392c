"""Reader for plain tables of model outputs: `.npz` or `.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError, unknown
from harness.spec.sources import TableSet, TableSource
from harness.storage import IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np

_MOST_BYTES = 1 << 36


@dataclass(frozen=True)
class OutputTable:
    """values (n, classes): logits or probabilities, float32 or float64 as in the file; labels (n,); names (n,) of sample
    sets, if there are any."""

    values: np.ndarray
    labels: np.ndarray
    names: np.ndarray | None


def read_table(path: Path, source: TableSource) -> OutputTable:
    """Read and check a table. Raises UsageError or IntegrityError with what to mend."""
    import numpy as np

    if not path.is_file():
        raise UsageError(f"the file {path} does not exist; paths in a benchmark file are relative to that file.")
    values, labels, names = _parquet(path, source) if path.suffix == ".parquet" else _npz(path, source)
    if values.ndim != 2 or values.shape[1] < 2:
        raise IntegrityError(f"{path}: {source.values} has shape {values.shape}, expected (n, classes)")
    for name, column in ((source.labels, labels), (source.set_column, names)):
        if column is not None and column.shape != (len(values),):
            raise IntegrityError(f"{path}: {name} has shape {column.shape}, expected ({len(values)},)")
    if values.dtype.kind not in "fiu":
        raise IntegrityError(f"{path}: {source.values} holds {values.dtype}, not numbers")
    # Never less than what the file holds: float32 would tie rows that it tells apart.
    values = values.astype(np.float32 if values.dtype.kind == "f" and values.dtype.itemsize <= 4 else np.float64)
    if not np.isfinite(values).all():
        raise IntegrityError(f"{path}: {source.values} holds NaN or infinite values")
    if source.holds == "probabilities" and not _are_probabilities(values):
        raise UsageError(
            f"{path}: rows of {source.values} are negative or do not sum to 1; "
            'if these are logits, say holds = "logits".'
        )
    if source.holds == "logits" and _are_probabilities(values):
        raise UsageError(
            f'{path}: rows of {source.values} sum to 1; these are probabilities, say holds = "probabilities".'
        )
    return OutputTable(values, _class_indices(labels, path, source), names)


def _are_probabilities(values: np.ndarray) -> bool:
    import numpy as np

    sums = values.sum(axis=1, dtype=np.float64)
    return bool((values >= 0).all() and np.allclose(sums, 1.0, atol=1e-3))


def _class_indices(labels: np.ndarray, path: Path, source: TableSource) -> np.ndarray:
    """Labels as integers; samples of unknown classes may have any, so their range is not looked at."""
    import numpy as np

    if labels.dtype.kind not in "fiub" or not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise IntegrityError(f"{path}: {source.labels} must hold class indices, whole numbers in every row")
    return labels.astype(np.int64)


def rows_of(table: OutputTable, chosen: TableSet, path: Path) -> np.ndarray:
    """Row numbers of a sample set."""
    import numpy as np

    count = len(table.values)
    if chosen.rows is not None:
        first, end = chosen.rows
        if end > count:
            raise UsageError(f"{path} has {count} rows, but a set asks for rows {first} to {end}.")
        return np.arange(first, end)
    if table.names is None:
        raise UsageError(f"{path} has no column of set names; give sets as {{rows = [first, end]}}.")
    rows = np.flatnonzero(table.names == chosen.named)
    if not len(rows):
        raise unknown(f"set of samples in {path}", str(chosen.named), map(str, np.unique(table.names)))
    return rows


def _npz(path: Path, source: TableSource) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    arrays = read_arrays(path, max_bytes=_MOST_BYTES)
    for name in (source.values, source.labels):
        if name not in arrays:
            raise unknown(f"array in {path}", name, arrays)
    names = arrays.get(source.set_column)
    return (arrays[source.values], arrays[source.labels].reshape(-1), None if names is None else names.astype(str))


def _parquet(path: Path, source: TableSource) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} is not a readable parquet file: {error}") from error
    if source.labels not in table.column_names:
        raise unknown(f"column in {path}", source.labels, table.column_names)
    if source.values in table.column_names:
        try:
            values = np.asarray(table.column(source.values).to_pylist(), dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{path}: {source.values} must hold one list of numbers, all equally long") from error
    else:
        values = np.stack([table.column(name).to_numpy() for name in _numbered(path, source, table.column_names)], 1)
    names = table.column(source.set_column).to_pylist() if source.set_column in table.column_names else None
    return (values, table.column(source.labels).to_numpy(), None if names is None else np.asarray(names, dtype=str))


def _numbered(path: Path, source: TableSource, columns: Sequence[str]) -> list[str]:
    """`logits_0`, `logits_1`, ... in the order of classes. A gap would shift the classes after it."""
    prefix = f"{source.values}_"
    numbers = {
        int(name[len(prefix) :]): name
        for name in columns
        if name.startswith(prefix) and name[len(prefix) :].isdecimal()
    }
    if not numbers:
        raise unknown(f"column in {path}", source.values, columns)
    if sorted(numbers) != list(range(len(numbers))):
        raise UsageError(f"{path}: columns {prefix}<number> must be numbered from 0 without gaps, one a class.")
    return [numbers[number] for number in range(len(numbers))]

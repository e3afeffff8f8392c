"""Reader for plain tables of model outputs: `.npz` or `.parquet`."""

from __future__ import annotations

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
class Table:
    """values (n, classes): logits or probabilities; labels (n,); names (n,) of sample sets, if there are any."""

    values: np.ndarray
    labels: np.ndarray
    names: np.ndarray | None


def read_table(path: Path, source: TableSource) -> Table:
    """Read and check a table. Raises UsageError or IntegrityError with what to mend."""
    import numpy as np

    if not path.is_file():
        raise UsageError(f"the file {path} does not exist; paths in a benchmark file are relative to that file.")
    columns = _parquet(path, source) if path.suffix == ".parquet" else _npz(path, source)
    values, labels, names = columns
    if values.ndim != 2 or values.shape[1] < 2:
        raise IntegrityError(f"{path}: {source.values} has shape {values.shape}, expected (n, classes)")
    if labels.shape != (len(values),):
        raise IntegrityError(f"{path}: {source.labels} has shape {labels.shape}, expected ({len(values)},)")
    if not np.isfinite(values).all():
        raise IntegrityError(f"{path}: {source.values} holds NaN or infinite values")
    if source.holds == "probabilities" and not np.allclose(values.sum(axis=1), 1.0, atol=1e-3):
        raise UsageError(f'{path}: rows of {source.values} do not sum to 1; if these are logits, say holds = "logits".')
    return Table(values.astype(np.float32), labels.astype(np.int64), names)


def rows_of(table: Table, chosen: TableSet, path: Path) -> np.ndarray:
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
    return (
        arrays[source.values],
        arrays[source.labels].reshape(-1),
        None if names is None else names.astype(str),
    )


def _parquet(path: Path, source: TableSource) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise IntegrityError(f"{path} is not a readable parquet file: {error}") from error
    if source.labels not in table.column_names:
        raise unknown(f"column in {path}", source.labels, table.column_names)
    if source.values in table.column_names:
        values = np.asarray(table.column(source.values).to_pylist(), dtype=np.float64)
    else:
        prefix = f"{source.values}_"
        numbered = [name for name in table.column_names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
        if not numbered:
            raise unknown(f"column in {path}", source.values, table.column_names)
        numbered.sort(key=lambda name: int(name[len(prefix) :]))
        values = np.stack([table.column(name).to_numpy() for name in numbered], axis=1)
    names = table.column(source.set_column).to_pylist() if source.set_column in table.column_names else None
    return (
        values,
        table.column(source.labels).to_numpy(),
        None if names is None else np.asarray(names, dtype=str),
    )

"""Columns of a user's table, `.npz`, `.parquet` or `.csv`, as arrays; read one at a time, none more than is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.spec.errors import UsageError, row_of, unknown
from harness.storage import IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MOST_BYTES = 1 << 36


class TableFile(Protocol):
    """A table whose columns are asked for by name. Raises UsageError for a name that it does not have."""

    @property
    def names(self) -> Sequence[str]: ...

    def numbers(self, name: str) -> np.ndarray:
        """One number for each row, or an array of them; NaN for an empty cell. Raises IntegrityError for text."""
        ...

    def texts(self, name: str) -> pa.Array:
        """One text for each row, null for an empty cell; numbers become text."""
        ...


def open_columns(path: Path) -> TableFile:
    """Raises UsageError for a file that is not there or of another form, IntegrityError for a damaged one."""
    if not path.is_file():
        raise UsageError(f"the file {path} does not exist; paths in a benchmark file are relative to that file.")
    if path.suffix not in _OPENED:
        raise UsageError(f"{path}: a table ends in {', '.join(_OPENED)}; save it as one of these.")
    if not path.stat().st_size:
        raise IntegrityError(f"{path} is empty.")
    return _OPENED[path.suffix](path)


class _Arrays:
    """The arrays of an `.npz`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays: Mapping[str, np.ndarray] = read_arrays(path, max_bytes=_MOST_BYTES)
        self.names = tuple(self._arrays)

    def numbers(self, name: str) -> np.ndarray:
        array = self._array(name)
        if array.dtype.kind not in "fiub":
            raise IntegrityError(f"{self._path}: {name} holds {array.dtype}, not numbers")
        return array

    def texts(self, name: str) -> pa.Array:
        import pyarrow

        array = self._array(name)
        if array.ndim != 1:
            raise IntegrityError(f"{self._path}: {name} has shape {array.shape}, expected one text for each row")
        return pyarrow.array(array if array.dtype.kind != "S" else array.astype(str)).cast(pyarrow.string())

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise unknown(f"array in {self._path}", name, self.names)
        return self._arrays[name]


class _Frame(ABC):
    """The columns of a file that pyarrow reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _readable(path):
            self.names = tuple(self._opened())
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise IntegrityError(f"{path} has two columns named {twice!r}; leave one.")

    @abstractmethod
    def _opened(self) -> Sequence[str]:
        """The names of the columns."""

    @abstractmethod
    def _pieces(self, name: str) -> Iterator[pa.Array]:
        """A column, some rows at a time."""

    @abstractmethod
    def _count(self) -> int:
        """How many rows there are."""

    def numbers(self, name: str) -> np.ndarray:
        import numpy as np

        if name in self.names:
            return self._as_numbers(name)
        columns = self._numbered(name)
        first = self._as_numbers(columns[0])
        joined = np.empty((len(first), len(columns)), first.dtype)
        for at, column in enumerate(columns):
            values = first if at == 0 else self._as_numbers(column)
            # One column may be of another type than the first: whole numbers, where no cell has a fraction.
            joined = joined.astype(np.promote_types(joined.dtype, values.dtype), copy=False)
            joined[:, at] = values
        return joined

    def texts(self, name: str) -> pa.Array:
        import pyarrow

        pieces = []
        for piece in self._column(name):
            plain = piece.dictionary_decode() if pyarrow.types.is_dictionary(piece.type) else piece
            try:
                pieces.append(plain.cast(pyarrow.string()))
            except pyarrow.ArrowException:
                raise IntegrityError(f"{self._path}: {name} holds {piece.type}, not one text for each row") from None
        return pyarrow.concat_arrays(pieces or [pyarrow.array([], pyarrow.string())])

    def _as_numbers(self, name: str) -> np.ndarray:
        """(n,), of lists (n, k), of lists of lists (n, m, k); in memory once, beside a piece."""
        import numpy as np
        import pyarrow

        numbers, start = np.empty(0), 0
        for piece in self._column(name):
            try:
                values = _flat(piece)
                if start and values.shape[1:] != numbers.shape[1:]:
                    raise _RaggedError
            except _RaggedError:
                raise IntegrityError(f"{self._path}: {name} must hold one list of numbers, all equally long") from None
            except (pyarrow.ArrowException, TypeError):
                raise self._no_numbers(name, piece.type) from None
            if not start:
                numbers = np.empty((self._count(), *values.shape[1:]), values.dtype)
            # Whole numbers become floats where a cell is empty.
            numbers = numbers.astype(np.promote_types(numbers.dtype, values.dtype), copy=False)
            numbers[start : start + len(values)] = values
            start += len(values)
        return numbers

    def _no_numbers(self, name: str, kind: pa.DataType) -> IntegrityError:
        """Of a column of another type, with the first cell that makes it text."""
        import pyarrow

        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            return IntegrityError(
                f"{self._path}: {name} holds {kind}, not numbers; store it as floats or whole numbers"
            )
        cells = (cell for piece in self._column(name) for cell in piece.to_pylist())
        for row, cell in enumerate(cells):
            if cell is not None and not _is_number(cell):
                return IntegrityError(f"{self._path}: {name} holds {cell!r} in {row_of(row)}, not a number")
        return IntegrityError(f"{self._path}: {name} holds text, not numbers")

    def _column(self, name: str) -> Iterator[pa.Array]:
        if name not in self.names:
            raise unknown(f"column in {self._path}", name, self.names)
        with _readable(self._path):
            yield from (piece for piece in self._pieces(name) if len(piece))

    def _numbered(self, prefix: str) -> list[str]:
        """`logits_0`, `logits_1`, ... in the order of classes. A gap would shift the classes after it."""
        start = f"{prefix}_"
        numbers = {
            int(name[len(start) :]): name
            for name in self.names
            if name.startswith(start) and name[len(start) :].isdecimal()
        }
        if not numbers:
            raise unknown(f"column in {self._path}", prefix, self.names)
        if sorted(numbers) != list(range(len(numbers))):
            raise UsageError(f"{self._path}: columns {start}<number> must be numbered from 0 without gaps.")
        return [numbers[number] for number in range(len(numbers))]


class _Parquet(_Frame):
    def _opened(self) -> Sequence[str]:
        import pyarrow.parquet

        self._file = pyarrow.parquet.ParquetFile(self._path)
        return list(self._file.schema_arrow.names)

    def _pieces(self, name: str) -> Iterator[pa.Array]:
        for batch in self._file.iter_batches(columns=[name], use_threads=False):
            yield batch.column(name)

    def _count(self) -> int:
        return int(self._file.metadata.num_rows)


class _Csv(_Frame):
    def _opened(self) -> Sequence[str]:
        import pyarrow.csv

        _refuse_other_signs(self._path)
        # One thread: only then do messages name the row.
        self._table = pyarrow.csv.read_csv(self._path, read_options=pyarrow.csv.ReadOptions(use_threads=False))
        return list(self._table.column_names)

    def _pieces(self, name: str) -> Iterator[pa.Array]:
        yield from self._table.column(name).chunks

    def _count(self) -> int:
        return int(self._table.num_rows)


def _refuse_other_signs(path: Path) -> None:
    """Of a first line whose columns something else than commas separates: the parser would speak of numbers of columns."""
    with path.open("rb") as stream:
        heading = stream.readline(1 << 16).decode("utf-8-sig", "replace")
    for sign, name in (";", "semicolons"), ("\t", "tabs"), ("|", "bars"):
        if sign in heading and "," not in heading:
            raise UsageError(
                f"{path} separates its columns by {name}; save it with commas between columns and points in numbers."
            )


_OPENED: Mapping[str, type[_Arrays | _Parquet | _Csv]] = {".npz": _Arrays, ".parquet": _Parquet, ".csv": _Csv}


class _RaggedError(Exception):
    """Lists that are no matrix."""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} is not a readable {path.suffix[1:]} file: {error}") from error


def _flat(chunk: pa.Array) -> np.ndarray:
    """Numbers of a column without its lists, in its shape. Raises TypeError for what is no number."""
    import pyarrow
    import pyarrow.compute

    types, shape, array = pyarrow.types, [len(chunk)], chunk
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    while types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
        widths = pyarrow.compute.list_value_length(array).unique().to_pylist()
        if len(widths) > 1 or None in widths:
            raise _RaggedError
        shape.append(widths[0] if widths else 0)
        array = array.flatten()
    if not (types.is_integer(array.type) or types.is_floating(array.type) or types.is_boolean(array.type)):
        raise _RaggedError if len(shape) > 1 else TypeError
    if array.null_count and not types.is_floating(array.type):
        array = array.cast(pyarrow.float64())  # NaN where a cell is empty
    numbers: np.ndarray = array.to_numpy(zero_copy_only=False)
    return numbers.reshape(shape)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

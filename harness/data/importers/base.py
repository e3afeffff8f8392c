"""What every importer gives: a long table whose columns are documented, whose rows have ids, and whose values are sane."""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.spec.errors import UsageError
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Type = Literal["text", "integer", "real"]
OK, MISSING, INFINITE = "ok", "missing", "infinite"
"""Status of a value: there, never there (NaN, an empty cell), or too large for a number. Only `ok` has a value."""

MOST_CSV_BYTES = 1 << 28
_PICKLES = (".pkl", ".pickle", ".p", ".joblib", ".dill")


class Measured(Protocol):
    """What an importer must know of a metric. The classes of `harness.metrics.attribution` are of this form."""

    @property
    def id(self) -> str: ...
    @property
    def direction(self) -> str:
        """`higher` or `lower`: which values are better."""
        ...

    @property
    def range(self) -> tuple[float, float]: ...


@dataclass(frozen=True)
class Measure:
    """A metric in the unit of a released file. range: lowest and highest value that it can have there."""

    id: str
    direction: Literal["higher", "lower", ""]
    range: tuple[float, float]
    unit: str = ""
    factor: float = 1.0
    """The file's numbers are the harness's times this."""


@dataclass(frozen=True)
class TableColumn:
    """One column of a long table."""

    name: str
    meaning: str
    type: Type = "text"


@dataclass(frozen=True)
class Imported:
    """A long table. key: the columns that tell rows apart. notes: what a reader of its numbers must know."""

    title: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def schema(self) -> pa.Schema:
        """Types of the columns, with their meanings as metadata."""
        import pyarrow as pa

        types = {"text": pa.string(), "integer": pa.int64(), "real": pa.float64()}
        return pa.schema(
            [pa.field(each.name, types[each.type], metadata={"meaning": each.meaning}) for each in self.columns]
        )


def long_table(
    title: str,
    columns: Sequence[TableColumn],
    key: Sequence[str],
    rows: pd.DataFrame,
    path: Path,
    notes: Iterable[str] = (),
) -> Imported:
    """Rows in the order of their source. Raises IntegrityError where two of them have one id, UsageError for none."""
    if rows.empty:
        raise UsageError(f"{path} holds no rows of {title}.")
    frame = rows.loc[:, [column.name for column in columns]].reset_index(drop=True)
    twice = frame.duplicated(list(key))
    if twice.any():
        first = frame.loc[twice, list(key)].iloc[0].to_dict()
        described = ", ".join(f"{name} {value}" for name, value in first.items())
        raise IntegrityError(f"{path} holds two rows of one id: {described}.")
    return Imported(title, tuple(columns), tuple(key), frame, tuple(notes))


def status_of(value: float) -> str:
    """Whether a number is there, missing or infinite."""
    if math.isfinite(value):
        return OK
    return MISSING if math.isnan(value) else INFINITE


def status_and_value(value: float, measure: Measured | None, where: str) -> dict[str, Any]:
    """The columns `value` and `status` of a cell. Raises IntegrityError for a value that this metric cannot have."""
    status = status_of(value)
    if status == OK and measure is not None:
        check_range(value, measure, where)
    return {"value": value if status == OK else None, "status": status}


def check_range(value: float, measure: Measured, where: str) -> None:
    """Raises IntegrityError for a value that this metric cannot have. `where` names file, row and column."""
    low, high = measure.range
    slack = 1e-6 * max(1.0, abs(low) if math.isfinite(low) else 1.0, abs(high) if math.isfinite(high) else 1.0)
    if math.isfinite(value) and not low - slack <= value <= high + slack:
        raise IntegrityError(f"{where}: {value:g} is no {measure.id}, which lies between {low:g} and {high:g}.")


def read_csv(path: Path, required: Sequence[str]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header of a CSV file, and its rows with the numbers of their lines. Raises UsageError for a missing file or column, IntegrityError for a damaged one."""
    refuse_pickle(path)
    if not path.is_file():
        raise UsageError(f"the file {path} does not exist.")
    if path.stat().st_size > MOST_CSV_BYTES:
        raise IntegrityError(f"{path} has {path.stat().st_size} bytes, more than the {MOST_CSV_BYTES} of such a table.")
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise IntegrityError(f"{path} is not a valid CSV file: {error}.") from error
    if not lines:
        raise IntegrityError(f"{path} is empty.")
    header = lines[0][1]
    for name in required:
        if name not in header:
            raise IntegrityError(f"{path} has no column {name!r}; its first line must be the header.")
    if len(set(header)) != len(header):
        raise IntegrityError(f"{path} has two columns of one name.")
    for at, cells in lines[1:]:
        if len(cells) != len(header):
            raise IntegrityError(f"{path}, line {at}: {len(cells)} cells under {len(header)} columns.")
    return header, [(at, dict(zip(header, cells, strict=True))) for at, cells in lines[1:]]


def number(text: str, where: str) -> float:
    """A number, NaN for an empty cell. Raises IntegrityError for anything else."""
    if text.strip().lower() in ("", "nan", "none"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise IntegrityError(f"{where}: {text!r} is no number.") from None


def integer(text: str, where: str) -> int:
    """A whole number, also one written as 9000.0. Raises IntegrityError for anything else."""
    value = number(text, where)
    if not math.isfinite(value) or value != int(value):
        raise IntegrityError(f"{where}: {text!r} is no whole number.")
    return int(value)


def refuse_pickle(path: Path) -> None:
    """Raises UsageError: a pickle can run any code when it is opened, so none is."""
    if path.suffix.lower() in _PICKLES:
        raise UsageError(f"{path} is a pickle, which can run any code; give a file of another form.")


def given(options: Mapping[str, str], name: str, found: str | None, path: Path, known: Sequence[str]) -> str:
    """An option, or what the file's own place says. Raises UsageError where neither does, or with an unknown name."""
    value = options.get(name, found)
    if value is None or value not in known:
        said = "says none" if value is None else f"gives {value!r}"
        raise UsageError(f"{path}: its name {said}; give --{name}, one of {', '.join(known)}.")
    return value


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[TableColumn]) -> pd.DataFrame:
    """Rows as a table, a missing number as NaN."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=[column.name for column in columns])


def refuse_objects(path: Path) -> None:
    """Raises UsageError for a missing `.npz` file and for one with arrays of Python objects, pickles inside."""
    refuse_pickle(path)
    if not path.is_file():
        raise UsageError(f"the file {path} does not exist.")
    try:
        objects = _object_members(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise IntegrityError(f"{path} is not a valid .npz file.") from error
    if objects:
        raise UsageError(
            f"{path}: {objects[0]} is an array of Python objects, a pickle, which can run any code. Convert it once, "
            "where you trust the file: np.savez(new, *[np.stack(list(a)).astype('float32') for a in arrays])."
        )


def _object_members(path: Path) -> list[str]:
    """Names of the arrays whose header says that they hold objects."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                if re.search(rb"'descr': *'\|O'", member.read(256)):
                    found.append(name.removesuffix(".npy"))
    return found

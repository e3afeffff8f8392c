"""Image files that CSV tables list: WILDS, ISIC, chest X-ray collections, RxRx1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked
from harness.data.readers.decoding import decode_file
from harness.data.readers.files import filled, present, replaced, walk
from harness.spec.errors import UsageError, row_of, unknown
from harness.spec.readers import ImageTable, ImageTablesReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def list_samples(reader: ImageTablesReader, folder: Path) -> Listing:
    """Samples named by their paths (of the first channel), as the tables list them; images (h, w), (h, w, 3), or
    (h, w, channels) where a file holds one channel."""
    import numpy as np
    import pandas as pd

    frames = [_rows(table, folder) for table in reader.tables]
    joined = pd.concat([frame for frame, _ in frames], join="inner", ignore_index=True)
    paths = [path for _, listed in frames for path in listed]
    columns = {str(name): joined[name].to_numpy(dtype=str) for name in joined.columns if name != "label"}

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        return [_image([folder / path for path in paths[row]]) for row in rows]

    labels = joined["label"].to_numpy(dtype=np.int64)
    return checked(Listing([path[0] for path in paths], labels, columns, read), reader.classes, str(folder))


def read_csv(path: Path) -> pd.DataFrame:
    """All cells as texts. Raises IntegrityError for a file that is no table, or that divides its columns otherwise."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise IntegrityError(
            f"{path} is no readable CSV table ({why}); get it again, or save it as UTF-8 text with commas between columns."
        ) from error
    heading = str(frame.columns[0])
    if len(frame.columns) == 1 and (other := next((sign for sign in ";\t|" if sign in heading), None)):
        raise IntegrityError(f"{path} divides its columns by {other!r}; save it with commas between columns.")
    if any("\0" in str(name) for name in frame.columns):
        raise IntegrityError(f"{path} is no readable CSV table: it is not a text; get it again.")
    return frame


def _rows(table: ImageTable, folder: Path) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """The rows that are taken, with their column `label`, and the files of each."""
    path = present(folder, table.file)
    frame = read_csv(path)
    if table.join is not None:
        frame = _joined(frame, table, path, present(folder, table.join))
    for column, values in table.where.items():
        frame = frame[_column(frame, column, path).isin(values)]
    if table.sort:
        frame = frame.sort_values([str(_column(frame, name, path).name) for name in table.sort], kind="stable")
    labels = _by_column(frame, table, path) if table.label else _by_one_hot(frame, table, path)
    if table.unlisted == "refuse" and (bad := labels[labels < 0].index).size:
        raise IntegrityError(f"{path}: {row_of(int(bad[0]))} has no label, or none that the manifest lists.")
    frame, labels = frame[labels >= 0], labels[labels >= 0]
    rows = [
        {str(name): str(value) for name, value in zip(frame.columns, row, strict=True)}
        for row in frame.itertuples(index=False)
    ]
    places = _places(table.path, folder) if "*" in table.path else None
    listed = [_files(table, row, path, places) for row in rows]
    more = {name: [replaced(form, row, str(path)) for row in rows] for name, form in table.columns.items()}
    frame = frame.drop(columns="label", errors="ignore").assign(**more, label=labels)
    return frame, listed


def _files(
    table: ImageTable, row: Mapping[str, str], path: Path, places: Mapping[str, Sequence[str]] | None
) -> tuple[str, ...]:
    channels = [{"channel": channel} for channel in table.channels] or [{}]
    paths = [filled(table.path, {**row, **channel}, str(path)) for channel in channels]
    return tuple(paths if places is None else (_found(wanted, places, path) for wanted in paths))


def _places(template: str, folder: Path) -> dict[str, list[str]]:
    """Name of a file -> the paths of all files of this name, below the folder before the template's first `*`."""
    root = template.partition("*")[0].rpartition("/")[0]
    places: dict[str, list[str]] = {}
    for path in walk(folder, root or None):
        places.setdefault(path.rpartition("/")[2], []).append(path)
    return places


def _found(pattern: str, places: Mapping[str, Sequence[str]], path: Path) -> str:
    """The one file that a path with `*` fits; the pattern itself where there is none, so that reading it names it."""
    found = [each for each in places.get(pattern.rpartition("/")[2], ()) if fnmatchcase(each, pattern)]
    if len(found) > 1:
        raise IntegrityError(f"{path}: {pattern} fits {found[0]} and {found[1]}; keep one of them.")
    return found[0] if found else pattern


def _by_column(frame: pd.DataFrame, table: ImageTable, path: Path) -> pd.Series[int]:
    """Labels; -1 where there is none."""
    assert table.label is not None
    cells = _column(frame, table.label, path)
    if table.separator is not None:
        return cells.map(lambda cell: _single(str(cell), table)).astype("int64")
    if table.values:
        return cells.map(table.values).fillna(-1).astype("int64")
    numbers = cells.where(cells.str.fullmatch(r"\d{1,9}(\.0)?"), "-1")
    return numbers.astype("float64").astype("int64")


def _single(cell: str, table: ImageTable) -> int:
    """The label of the one class in a cell that is listed; -1 where none is, or several."""
    named = {part.strip() for part in cell.split(table.separator)} & set(table.values)
    return table.values[named.pop()] if len(named) == 1 else -1


def _by_one_hot(frame: pd.DataFrame, table: ImageTable, path: Path) -> pd.Series[int]:
    import pandas as pd

    hot = pd.DataFrame({name: _column(frame, name, path).isin(table.positive) for name in table.one_hot}).to_numpy()
    labels = hot.argmax(axis=1)
    labels[hot.sum(axis=1) != 1] = -1
    if table.without is not None:
        labels[hot.sum(axis=1) == 0] = table.without
    return pd.Series(labels, index=frame.index)


def _joined(frame: pd.DataFrame, table: ImageTable, path: Path, other: Path) -> pd.DataFrame:
    import pandas as pd

    right = read_csv(other)
    for column in table.on:
        _column(frame, column, path)
        _column(right, column, other)
    try:
        return frame.merge(
            right, on=list(table.on), how="left", validate="many_to_one", suffixes=("", " (joined)")
        ).fillna("")
    except pd.errors.MergeError as error:
        raise IntegrityError(f"{other} has several rows of one {' and '.join(table.on)}.") from error


def _column(frame: pd.DataFrame, name: str, path: Path) -> pd.Series[str]:
    if name not in frame.columns:
        raise unknown(f"column in {path}", name, [str(column) for column in frame.columns])
    column: pd.Series[str] = frame[name]
    return column


def _image(paths: Sequence[Path]) -> np.ndarray:
    import numpy as np

    if len(paths) == 1:
        return decode_file(paths[0])
    channels = [decode_file(path, grey=True) for path in paths]
    if any(channel.ndim != 2 or channel.shape != channels[0].shape for channel in channels):
        raise UsageError(f"{paths[0]} and its other channels must be grey images of one size.")
    return np.stack(channels, axis=-1)

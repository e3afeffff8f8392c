"""Image files in folders of classes: ImageNet, OCT, RESISC45, MIO-TCD and most others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked
from harness.data.readers.decoding import decode_file
from harness.data.readers.files import class_numbers, labelled, present, read_lines
from harness.spec.errors import UsageError
from harness.spec.readers import ImageTreeReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


def list_samples(reader: ImageTreeReader, folder: Path, beside: Path | None = None) -> Listing:
    """Samples named by their paths. Columns: the groups of the pattern (`label` is called `class`), and the table's,
    which may lie in the folder `beside` instead."""
    import numpy as np

    ids, names, columns = labelled(reader.pattern, folder, reader.root)
    if reader.annotations is not None:
        names = _annotated(ids, names, present(folder, reader.annotations))
        columns["class"] = np.array(names)
    if reader.table is not None:
        bundled = beside is not None and not (folder / reader.table).is_file() and (beside / reader.table).is_file()
        numbers, extra = _table(present(beside if bundled and beside else folder, reader.table))
        if absent := sorted(set(numbers) - set(names)):
            raise IntegrityError(f"{folder} has no image of the class {absent[0]}, which {reader.table} lists.")
        rows = [row for row, name in enumerate(names) if name in numbers]
        ids, names = [ids[row] for row in rows], [names[row] for row in rows]
        columns = {name: values[rows] for name, values in columns.items()}
        columns |= {column: np.array([values[name] for name in names]) for column, values in extra.items()}
    else:
        numbers = class_numbers(names, reader.classes, str(folder))
    labels = np.array([numbers[name] for name in names], dtype=np.int64)

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        return [decode_file(folder / ids[row]) for row in rows]

    return checked(Listing(ids, labels, columns, read), None, str(folder))


def _annotated(ids: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    """The class of each image: of its path, else by its name in a text of annotations."""
    lines = [line.split("\t") for line in read_lines(path)]
    listed = {line[0]: line[1] for line in lines if len(line) > 1}
    if absent := [place for place, name in zip(ids, names, strict=True) if not name and Path(place).name not in listed]:
        raise IntegrityError(f"{path} does not say the class of {absent[0]} ({len(absent)} such).")
    return [name or listed[Path(place).name] for place, name in zip(ids, names, strict=True)]


def _table(path: Path) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """class -> label, and column -> class -> value."""
    from harness.data.readers.image_tables import read_csv

    frame = read_csv(path)
    if not {"class", "label"} <= set(frame.columns):
        raise UsageError(f"{path} needs the columns `class` and `label`; it has {', '.join(frame.columns)}.")
    if frame["class"].duplicated().any():
        raise IntegrityError(f"{path} lists the class {frame['class'][frame['class'].duplicated()].iloc[0]} twice.")
    try:
        numbers = {name: int(label) for name, label in zip(frame["class"], frame["label"], strict=True)}
    except ValueError as error:
        raise IntegrityError(f"{path}: labels must be whole numbers ({error}).") from error
    others = [column for column in frame.columns if column not in ("class", "label")]
    return numbers, {column: dict(zip(frame["class"], frame[column], strict=True)) for column in others}

"""Image data sets of the Hugging Face Hub as they lie in their repositories: parquet files with encoded images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.readers.base import Listing, blockwise, by_split, checked, whole_numbers
from harness.data.readers.decoding import decode
from harness.data.readers.files import present
from harness.spec.errors import UsageError, row_of, unknown
from harness.spec.readers import HubImagesReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


def list_samples(reader: HubImagesReader, folder: Path) -> Listing:
    """Samples `<split>/<row>`. Column: split. A call of `read` reads every row group it touches once."""
    import numpy as np

    groups: list[tuple[Path, int]] = []
    sizes: list[int] = []
    labels, counts = [], {}
    for split, patterns in reader.files.items():
        before = sum(sizes)
        for path in _files(folder, patterns):
            file = _opened(path, reader)
            groups += [(path, number) for number in range(file.num_row_groups)]
            sizes += [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            labels.append(whole_numbers(_labels(file, reader, path), str(path)))
        counts[split] = sum(sizes) - before
    ids, splits = by_split(counts)
    read = blockwise(sizes, lambda block, rows: _images(*groups[block], reader.image, rows))
    return checked(Listing(ids, np.concatenate(labels), {"split": splits}, read), reader.classes, str(folder))


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    paths = []
    for pattern in patterns:
        found = sorted(folder.glob(pattern)) if "*" in pattern else [present(folder, pattern)]
        if not found:
            raise UsageError(f"{folder} has no file {pattern}; fetch the data set again.")
        paths += found
    return paths


def _opened(path: Path, reader: HubImagesReader) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} is no readable parquet file: {error}.") from error
    for column in (reader.image, reader.label):
        if column not in file.schema_arrow.names:
            raise unknown(f"column in {path}", column, file.schema_arrow.names)
    return file


def _labels(file: Any, reader: HubImagesReader, path: Path) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    try:
        column = file.read(columns=[reader.label]).column(0)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} is damaged: {error}.") from error
    if column.null_count:
        raise IntegrityError(f"{path} has {column.null_count} rows without a label.")
    return np.asarray(column.to_numpy())


def _images(path: Path, group: int, column: str, rows: Sequence[int]) -> list[np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        cells = pq.ParquetFile(path).read_row_group(group, columns=[column]).column(0).take(rows)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} is damaged: {error}.") from error
    images = []
    for row, cell in zip(rows, cells.to_pylist(), strict=True):
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise IntegrityError(f"{path}: {row_of(row)} of group {group} holds no image.")
        images.append(decode(data, f"{path}, {row_of(row)} of group {group}"))
    return images

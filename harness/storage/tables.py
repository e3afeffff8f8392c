"""Tables in a `.parquet` or `.csv` file: written piece by piece, so that no table is too large for memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.storage.atomic import replacing

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_SUFFIXES = (".parquet", ".csv")


def write_table(
    path: str | os.PathLike[str], schema: pa.Schema, pieces: Iterable[pa.RecordBatch], *, bulky: Sequence[str] = ()
) -> int:
    """Write the pieces one after the other and return the number of rows; guarantees and errors as `write_bytes`.

    The suffix of `path` says the format, one of `TABLE_SUFFIXES` (else `ValueError`). In CSV a missing value is an
    empty cell, and numbers keep every digit that tells them apart. In Parquet every piece is a row group, equal pieces
    give equal bytes for one version of pyarrow, and `bulky` names columns of large binary values, which are kept out
    of dictionaries and statistics. What the pieces raise while they are made leaves the old file untouched.
    """
    suffix = Path(path).suffix
    if suffix not in TABLE_SUFFIXES:
        raise ValueError(f"A table is written to a file that ends in {' or '.join(TABLE_SUFFIXES)}, not {suffix!r}.")
    rows = 0
    with replacing(path) as stream, _writer(stream, suffix, schema, bulky) as writer:
        for piece in pieces:
            writer.write_batch(piece)
            rows += piece.num_rows
    return rows


def _writer(stream: BinaryIO, suffix: str, schema: pa.Schema, bulky: Sequence[str]) -> Any:
    if suffix == ".parquet":
        from pyarrow import parquet

        plain: Any = [name for name in schema.names if name not in bulky]
        return parquet.ParquetWriter(stream, schema, compression="zstd", use_dictionary=plain, write_statistics=plain)
    from pyarrow import csv

    return csv.CSVWriter(stream, schema, write_options=csv.WriteOptions(quoting_style="needed"))

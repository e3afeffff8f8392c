"""Tables in Parquet, written batch by batch: a table of any size in the memory of one batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness.storage.atomic import replacing

if TYPE_CHECKING:
    import pyarrow as pa


def write_parquet(
    path: str | os.PathLike[str], schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, bulky: Sequence[str] = ()
) -> int:
    """Write batches as the row groups of one file and return its number of rows; guarantees as `write_bytes`.

    Equal batches give equal bytes, for one version of pyarrow. `bulky` names columns of large binary values, which are
    kept out of dictionaries and statistics. Whatever the batches raise while they are made leaves the old file alone.
    """
    from pyarrow import parquet

    plain: list[str] = [name for name in schema.names if name not in bulky]
    rows = 0
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": plain, "write_statistics": plain}
    with replacing(path) as stream, parquet.ParquetWriter(stream, schema, **options) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows

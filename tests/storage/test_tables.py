"""Tables written piece by piece: whole or absent, the same bytes for the same rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.storage import StorageError, write_table

SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64()), ("value", pa.float64())])
NAMES, COUNTS, VALUES = ["a", 'b "c", d', "", "é"], [1, None, 2**62, -3], [0.1, None, 1e-310, 1 / 3]


def pieces(size: int = 3) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(NAMES), size):
        part = slice(start, start + size)
        yield pa.record_batch([NAMES[part], COUNTS[part], VALUES[part]], schema=SCHEMA)


def test_parquet(tmp_path: Path) -> None:
    assert write_table(tmp_path / "t.parquet", SCHEMA, pieces()) == 4
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.schema == SCHEMA
    assert table.to_pydict() == {"name": NAMES, "count": COUNTS, "value": VALUES}


def test_csv_keeps_every_digit_and_leaves_missing_cells_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", SCHEMA, pieces())
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == SCHEMA.names
    assert [row[0] for row in rows] == NAMES
    assert [int(row[1]) if row[1] else None for row in rows] == COUNTS
    assert [float(row[2]) if row[2] else None for row in rows] == VALUES


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / f"{name}.{suffix}", SCHEMA, pieces())
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_failure_while_rows_are_made_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from pieces()
        raise RuntimeError("no more")

    path = tmp_path / f"t.{suffix}"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="no more"):
        write_table(path, SCHEMA, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_suffixes_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.parquet or \.csv, not '\.xlsx'"):
        write_table(tmp_path / "t.xlsx", SCHEMA, pieces())
    with pytest.raises(StorageError):
        write_table(tmp_path / "nowhere" / "t.csv", SCHEMA, pieces())

"""Tables in files of bounded size, written with bounded memory, and taken up again where they were left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.spec.errors import UsageError
from harness.storage import (
    LOCK_NAMES,
    IntegrityError,
    content_id,
    file_id,
    read_json,
    remove_stale_temporaries,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Kind = TypeVar("Kind")

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Limits:
    """Bytes, before compression, of a file and of the rows that are held in memory at once."""

    file: int = 256 << 20
    batch: int = 16 << 20


@dataclass(frozen=True)
class Shard:
    """A finished file. `path` is relative to the data set's folder; `unpacked`: bytes of its rows in memory."""

    config: str
    path: str
    rows: int
    bytes: int
    unpacked: int
    sha256: str


@dataclass
class Book:
    """What a folder was made from and which of its files are finished: `provenance.json`, rewritten after each file."""

    folder: Path
    sources: list[dict[str, Any]]
    settings: dict[str, Any]
    shards: list[Shard] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, sources: list[dict[str, Any]], settings: dict[str, Any]) -> Book:
        """The book in `folder`, or a new one. Raises UsageError if the folder was made from something else."""
        new = cls(folder, sources, settings)
        if not (folder / PROVENANCE).exists():
            if any(each.name not in LOCK_NAMES for each in folder.iterdir()):
                raise UsageError(f"{folder} holds other files; name an empty folder or one that does not exist.")
            new.save()
            return new
        kept = cls.read(folder)
        if content_id([kept.sources, kept.settings]) != content_id([sources, settings]):
            raise UsageError(f"{folder} was built from something else; name another folder, or remove it first.")
        return kept

    @classmethod
    def read(cls, folder: Path) -> Book:
        """The book that lies in `folder`. Raises IntegrityError if it is none."""
        kept = read_json(folder / PROVENANCE)
        try:
            shards = [Shard(**each) for each in kept["shards"]]
            return cls(folder, list(kept["sources"]), dict(kept["settings"]), shards, list(kept["finished"]))
        except (KeyError, TypeError) as error:
            raise IntegrityError(f"{folder / PROVENANCE} is not the record of a build; name another folder.") from error

    def of(self, config: str) -> list[Shard]:
        return [shard for shard in self.shards if shard.config == config]

    def add(self, shard: Shard) -> None:
        self.shards.append(shard)
        self.save()

    def finish(self, config: str) -> None:
        self.finished.append(config)
        self.save()

    def save(self) -> None:
        shards = [asdict(each) for each in sorted(self.shards, key=lambda shard: shard.path)]
        whole = {"sources": self.sources, "settings": self.settings, "shards": shards}
        write_json(self.folder / PROVENANCE, {**whole, "finished": sorted(self.finished)})

    def check(self) -> None:
        """Raise IntegrityError if a finished file is missing or changed."""
        for shard in self.shards:
            path = self.folder / shard.path
            if not path.is_file() or path.stat().st_size != shard.bytes or file_id(path) != shard.sha256:
                raise IntegrityError(f"{path} is not the file that was built; remove {self.folder} and build it again.")


@dataclass(frozen=True)
class Table(Generic[Kind]):
    """A configuration: where its files lie, its columns (`bulky` ones hold large binary values), and records as rows."""

    config: str
    folder: str
    schema: pa.Schema
    as_row: Callable[[Kind], Row]
    bulky: tuple[str, ...] = ()


def write_shards(book: Book, table: Table[Kind], records: Iterable[Kind], limits: Limits) -> None:
    """Write what is missing of a table, given all its records from the first on."""
    if table.config in book.finished:
        return
    target = book.folder / table.folder
    target.mkdir(parents=True, exist_ok=True)
    remove_stale_temporaries(target)
    done = book.of(table.config)
    left = islice(iter(records), sum(shard.rows for shard in done), None)
    for number, first in enumerate(left, start=len(done)):
        name = f"{table.folder}/{number:05}.parquet"
        batches = _Measured(_batches(map(table.as_row, chain([first], left)), table.schema, limits))
        path = book.folder / name
        rows = write_table(path, table.schema, batches, bulky=table.bulky)
        book.add(Shard(table.config, name, rows, path.stat().st_size, batches.bytes, file_id(path)))
    book.finish(table.config)


class _Measured:
    """Batches, and how many bytes those that were taken have."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.bytes = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.bytes += batch.nbytes
            yield batch


def _batches(rows: Iterator[Row], schema: pa.Schema, limits: Limits) -> Iterator[pa.RecordBatch]:
    """Batches until the file is full; takes from `rows` no more than it yields."""
    import pyarrow as pa

    held: list[Row] = []
    in_file = in_batch = 0
    while in_file + in_batch < limits.file:
        row = next(rows, None)
        if row is None:
            break
        held.append(row)
        in_batch += size_of(row)
        if in_batch >= limits.batch:
            yield pa.RecordBatch.from_pylist(held, schema=schema)
            held, in_file, in_batch = [], in_file + in_batch, 0
    if held:
        yield pa.RecordBatch.from_pylist(held, schema=schema)


def size_of(row: Mapping[str, Any]) -> int:
    """Roughly, in bytes."""
    return sum(len(value) if isinstance(value, bytes | str) else 8 for value in row.values())

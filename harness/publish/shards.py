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
Record = TypeVar("Record")

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class ShardLimits:
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


@dataclass(frozen=True)
class ConfigSize:
    """The finished files of one configuration, all in `folder`; `unpacked` as in `Shard`."""

    folder: str
    files: int
    rows: int
    bytes: int
    unpacked: int


@dataclass
class BuildRecord:
    """What a folder was made from and which of its files are finished: `provenance.json`, rewritten after each file."""

    folder: Path
    sources: list[dict[str, Any]]
    settings: dict[str, Any]
    shards: list[Shard] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, sources: list[dict[str, Any]], settings: dict[str, Any]) -> BuildRecord:
        """The record in `folder`, or a new one. Raises UsageError if the folder was made from something else."""
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
    def read(cls, folder: Path) -> BuildRecord:
        """The record that lies in `folder`. Raises IntegrityError if it is none."""
        kept = read_json(folder / PROVENANCE)
        try:
            shards = [Shard(**each) for each in kept["shards"]]
            return cls(folder, list(kept["sources"]), dict(kept["settings"]), shards, list(kept["finished"]))
        except (KeyError, TypeError) as error:
            raise IntegrityError(f"{folder / PROVENANCE} is not the record of a build; name another folder.") from error

    def of(self, config: str) -> list[Shard]:
        return [shard for shard in self.shards if shard.config == config]

    @property
    def sizes(self) -> dict[str, ConfigSize]:
        """By configuration."""
        return {name: _size(self.of(name)) for name in sorted({shard.config for shard in self.shards})}

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
class ShardedTable(Generic[Record]):
    """A configuration: where its files lie, its columns (`bulky` ones hold large binary values), and records as rows."""

    config: str
    folder: str
    schema: pa.Schema
    as_row: Callable[[Record], Row]
    bulky: tuple[str, ...] = ()


def _size(shards: list[Shard]) -> ConfigSize:
    folder = shards[0].path.rpartition("/")[0]
    rows, size, unpacked = (sum(getattr(shard, of) for shard in shards) for of in ("rows", "bytes", "unpacked"))
    return ConfigSize(folder, len(shards), rows, size, unpacked)


def write_shards(
    record: BuildRecord, table: ShardedTable[Record], records: Iterable[Record], limits: ShardLimits
) -> None:
    """Write what is missing of a table, given all its records from the first on."""
    if table.config in record.finished:
        return
    target = record.folder / table.folder
    target.mkdir(parents=True, exist_ok=True)
    remove_stale_temporaries(target)
    done = record.of(table.config)
    left = islice(iter(records), sum(shard.rows for shard in done), None)
    for number, first in enumerate(left, start=len(done)):
        name = f"{table.folder}/{number:05}.parquet"
        batches = _Measured(_batches(map(table.as_row, chain([first], left)), table.schema, limits))
        path = record.folder / name
        rows = write_table(path, table.schema, batches, bulky=table.bulky)
        record.add(Shard(table.config, name, rows, path.stat().st_size, batches.bytes, file_id(path)))
    record.finish(table.config)


class _Measured:
    """Batches, and how many bytes those that were taken have."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.bytes = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.bytes += batch.nbytes
            yield batch


def _batches(rows: Iterator[Row], schema: pa.Schema, limits: ShardLimits) -> Iterator[pa.RecordBatch]:
    """Batches until the file is full; takes from `rows` no more than it yields."""
    import pyarrow as pa

    held: list[Row] = []
    in_file = in_batch = 0
    while in_file + in_batch < limits.file:
        row = next(rows, None)
        if row is None:
            break
        held.append(row)
        in_batch += _bytes_of(row)
        if in_batch >= limits.batch:
            yield pa.RecordBatch.from_pylist(held, schema=schema)
            held, in_file, in_batch = [], in_file + in_batch, 0
    if held:
        yield pa.RecordBatch.from_pylist(held, schema=schema)


def _bytes_of(row: Mapping[str, Any]) -> int:
    """Roughly, in bytes."""
    return sum(len(value) if isinstance(value, bytes | str) else 8 for value in row.values())

"""The XAI meta-evaluation data set: maps of many methods and their scores, built from runs or released files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.data.meta_evaluation import MapRecord, ScoreRecord, encode_map
from harness.publish.card import About, write_card
from harness.publish.croissant import CROISSANT, write_croissant
from harness.publish.schema import (
    MAP_COLUMNS,
    SCHEMA_VERSION,
    SCORE_COLUMNS,
    SCORES,
    SCORES_FOLDER,
    MapConfig,
    features,
)
from harness.publish.shards import (
    PROVENANCE,
    BuildRecord,
    ConfigSize,
    Row,
    Shard,
    ShardedTable,
    ShardLimits,
    write_shards,
)
from harness.spec.errors import UsageError
from harness.storage import RunLock

NAME = "meta-evaluation"

Progress = Callable[[str, int], None]
"""Told the configuration and how many of its records have been looked at."""


class RecordSource(Protocol):
    """Where records come from, in an order that is always the same. `facts` are told in `provenance.json`."""

    @property
    def protocol(self) -> str: ...

    def facts(self) -> dict[str, Any]:
        """What the records follow from (equal facts, equal records), with `licence` and `citations`."""
        ...

    def configs(self) -> tuple[MapConfig, ...]: ...

    def maps(self, config: MapConfig) -> Iterator[MapRecord]: ...

    def scores(self) -> Iterator[ScoreRecord]: ...


@dataclass(frozen=True)
class Built:
    """A finished data set. sizes: by configuration."""

    folder: Path
    shards: tuple[Shard, ...]
    sizes: Mapping[str, ConfigSize]

    @classmethod
    def of(cls, record: BuildRecord) -> Built:
        return cls(record.folder, tuple(record.shards), record.sizes)

    @property
    def rows(self) -> dict[str, int]:
        """By configuration."""
        return {name: size.rows for name, size in self.sizes.items()}


def _unreported(config: str, done: int) -> None:
    """Progress that nobody asked for."""


def build(
    sources: Sequence[RecordSource],
    out: Path,
    *,
    licence: str = "other",
    limits: ShardLimits = ShardLimits(),  # noqa: B008 - frozen
    progress: Progress = _unreported,
) -> Built:
    """Build the data set in `out`, a folder that is new, empty, or holds an unfinished build of the same.

    Equal sources give equal bytes. Memory is bounded by `limits.batch` and what a source holds at once; files by
    `limits.file`. A build that was cut off goes on after its last finished file. Raises UsageError where there is
    nothing to build or `out` holds something else, IntegrityError for damaged files, and StorageError where they cannot
    be written.
    """
    if not sources:
        raise UsageError("there is nothing to build from; name runs or a folder of released maps and scores.")
    out.mkdir(parents=True, exist_ok=True)
    settings = {"schema": SCHEMA_VERSION, "licence": licence, "limits": asdict(limits)}
    with RunLock(out):
        record = BuildRecord.open(out, [source.facts() for source in sources], settings)
        record.check()
        for table, records in _tables(sources):
            write_shards(record, table, _reported(records, table.config, progress), limits)
        if not record.shards:
            raise UsageError("the sources hold neither maps nor scores.")
        _describe(record)
    return Built.of(record)


def open_built(folder: Path) -> Built:
    """A finished build. Raises UsageError where there is none, IntegrityError where its files were changed."""
    record = _finished(folder)
    record.check()
    return Built.of(record)


def address(folder: Path, repo: str) -> None:
    """Tell card and description of a finished build the repository in which it will be read. Raises as `open_built`."""
    with RunLock(folder):
        _describe(_finished(folder), repo)


def _finished(folder: Path) -> BuildRecord:
    if not (folder / PROVENANCE).is_file() or not (folder / CROISSANT).is_file():
        raise UsageError(f"{folder} holds no finished data set; run: harness data build {NAME} --out {folder}")
    return BuildRecord.read(folder)


def _describe(record: BuildRecord, repo: str | None = None) -> None:
    about = About.of(record, repo)
    write_card(record.folder, about)
    write_croissant(record.folder, about)


def _tables(sources: Sequence[RecordSource]) -> Iterator[tuple[ShardedTable[Any], Iterator[Any]]]:
    """A table of maps for each data set and one of all scores, each with its records."""
    for config in sorted({config for source in sources for config in source.configs()}):
        table = ShardedTable(config.name, config.folder, features(MAP_COLUMNS).arrow_schema, _map_row, bulky=("map",))
        holders = [source for source in sources if config in source.configs()]
        yield table, ((each.protocol, record) for each in holders for record in each.maps(config))
    scores = ShardedTable(SCORES, SCORES_FOLDER, features(SCORE_COLUMNS).arrow_schema, _score_row)
    yield scores, ((each.protocol, record) for each in sources for record in each.scores())


def _map_row(made: tuple[str, MapRecord]) -> Row:
    """A map that is not finite is missing: its row has no values."""
    stored = encode_map(made[1].map)
    numbers = {"scale": None, "map": None} if stored is None else {"scale": stored.scale, "map": stored.values}
    return {**_named(made, "target", "prediction"), "shape": list(made[1].map.shape), **numbers}


def _score_row(made: tuple[str, ScoreRecord]) -> Row:
    return _named(made, "metric", "metric_version", "direction", "value")


def _named(made: tuple[str, MapRecord | ScoreRecord], *more: str) -> Row:
    """What says of which map a row is, and further fields of its record."""
    protocol, record = made
    ids = {name: str(getattr(record, name)) for name in ("modality", "dataset", "model", "method", "observation")}
    return {"protocol": protocol, **ids, **{name: getattr(record, name) for name in more}}


def _reported(records: Iterator[Any], config: str, progress: Progress) -> Iterator[Any]:
    for done, record in enumerate(records, start=1):
        yield record
        if done % 100 == 0:
            progress(config, done)

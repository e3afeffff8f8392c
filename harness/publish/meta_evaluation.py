"""The XAI meta-evaluation data set: maps of many methods and their scores, built from runs or released files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from harness.publish.shards import PROVENANCE, Book, Row, Shard, ShardedTable, ShardLimits, write_shards
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
    """A finished data set."""

    folder: Path
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> dict[str, int]:
        """By configuration."""
        return {name: sum(each.rows for each in self.shards if each.config == name) for name in self.configs}

    @property
    def bytes(self) -> dict[str, int]:
        """By configuration."""
        return {name: sum(each.bytes for each in self.shards if each.config == name) for name in self.configs}

    @property
    def configs(self) -> list[str]:
        return sorted({each.config for each in self.shards})


def _unseen(config: str, done: int) -> None:
    """Nobody watches."""


def build(
    sources: Sequence[RecordSource],
    out: Path,
    *,
    licence: str = "other",
    limits: ShardLimits = ShardLimits(),  # noqa: B008 - frozen
    progress: Progress = _unseen,
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
        book = Book.open(out, [source.facts() for source in sources], settings)
        book.check()
        configs = sorted({config for source in sources for config in source.configs()})
        for config in configs:
            _write_maps(book, config, sources, limits, progress)
        _write_scores(book, sources, limits, progress)
        if not book.shards:
            raise UsageError("the sources hold neither maps nor scores.")
        _describe(book)
    return Built(out, tuple(book.shards))


def open_built(folder: Path) -> Built:
    """A finished build. Raises UsageError where there is none, IntegrityError where its files were changed."""
    book = _finished(folder)
    book.check()
    return Built(folder, tuple(book.shards))


def address(folder: Path, repo: str) -> None:
    """Tell card and description of a finished build the repository in which it will be read. Raises as `open_built`."""
    with RunLock(folder):
        _describe(_finished(folder), repo)


def _finished(folder: Path) -> Book:
    if not (folder / PROVENANCE).is_file() or not (folder / CROISSANT).is_file():
        raise UsageError(f"{folder} holds no finished data set; run: harness data build {NAME} --out {folder}")
    return Book.read(folder)


def _describe(book: Book, repo: str | None = None) -> None:
    about = About.of(book, repo)
    write_card(book.folder, about)
    write_croissant(book.folder, about)


def _write_maps(
    book: Book, config: MapConfig, sources: Sequence[RecordSource], limits: ShardLimits, progress: Progress
) -> None:
    def records() -> Iterator[tuple[str, MapRecord]]:
        for source in sources:
            if config in source.configs():
                yield from ((source.protocol, record) for record in source.maps(config))

    table = ShardedTable(config.name, config.folder, features(MAP_COLUMNS).arrow_schema, _map_row, bulky=("map",))
    write_shards(book, table, _watched(records(), config.name, progress), limits)


def _write_scores(book: Book, sources: Sequence[RecordSource], limits: ShardLimits, progress: Progress) -> None:
    records = ((source.protocol, record) for source in sources for record in source.scores())
    table = ShardedTable(SCORES, SCORES_FOLDER, features(SCORE_COLUMNS).arrow_schema, _score_row)
    write_shards(book, table, _watched(records, SCORES, progress), limits)


def _map_row(made: tuple[str, MapRecord]) -> Row:
    """A map that is not finite is missing: its row has no values."""
    protocol, record = made
    stored = encode_map(record.map)
    numbers: Row = {"shape": list(record.map.shape), "scale": None, "map": None}
    if stored is not None:
        numbers |= {"scale": stored.scale, "map": stored.values}
    return {"protocol": protocol, **_ids(record), "target": record.target, "prediction": record.prediction, **numbers}


def _score_row(made: tuple[str, ScoreRecord]) -> Row:
    protocol, record = made
    score = {name: getattr(record, name) for name in ("metric", "metric_version", "direction", "value")}
    return {"protocol": protocol, **_ids(record), **score}


def _ids(record: MapRecord | ScoreRecord) -> Row:
    names = ("modality", "dataset", "model", "method", "observation")
    return {name: str(getattr(record, name)) for name in names}


def _watched(records: Iterator[Any], config: str, progress: Progress) -> Iterator[Any]:
    for done, record in enumerate(records, start=1):
        yield record
        if done % 100 == 0:
            progress(config, done)

"""Making the files that protocols name out of data sets: once, atomically, and anew when their sources change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.data.catalog import benchmark_files, find_protocol, prepared_folder
from harness.data.forms import Tick, bytes_of, write_arrays_of
from harness.data.manifests import Manifest, dataset_manifests, find_dataset
from harness.data.parts import select
from harness.data.raw_folders import raw_bytes, write_raw_folder
from harness.data.readers import Samples, open_listing, part_id
from harness.data.readers.files import walk
from harness.data.store import dataset_folder
from harness.spec.errors import UsageError, unknown
from harness.spec.parts import Listed
from harness.spec.products import Product, RawFolderForm
from harness.spec.readers import VolumesReader
from harness.storage import (
    IntegrityError,
    RunLock,
    content_id,
    file_id,
    read_json,
    remove_stale_folders,
    remove_stale_temporaries,
    write_json,
)

RECORD = ".made.json"
"""Ends the name of the file beside a product that says what it was made of."""

_LAYOUT = 1  # of what is written: a higher number makes all products anew
_SPARE = 1 << 28  # bytes of the disk that stay free


@dataclass(frozen=True)
class Work:
    """One product of a data set that is to be there."""

    manifest: Manifest
    product: Product

    @property
    def path(self) -> Path:
        """Where the product lies, or would."""
        return prepared_folder() / self.product.path


def works_for(name: str, pattern: str = "*") -> list[Work]:
    """What a data set offers, or what a benchmark names and a data set offers; `pattern` narrows the products' paths.

    Raises UsageError for an unknown name, or one for which nothing can be made.
    """
    works = _of_dataset(name) if _is_dataset(name) else _of_benchmark(name)
    if not works:
        raise UsageError(f"{name} has no file that is made from data sets.")
    chosen = [work for work in works if fnmatchcase(work.product.path, pattern)]
    if not chosen:
        raise unknown("product", pattern, [work.product.path for work in works])
    return chosen


def prepare(work: Work, tick: Tick = lambda done: None) -> bool:
    """Make the product unless it is there and its sources are as they were; returns whether it was made.

    Only one process prepares at a time. `tick` is told how many samples are done. Raises UsageError for data that are
    not fetched and for a full disk, IntegrityError for damaged data; an old product then stays as it was.
    """
    folder = dataset_folder(work.manifest)
    work.path.parent.mkdir(parents=True, exist_ok=True)
    with RunLock(work.path.parent):
        remove_stale_temporaries(work.path.parent)
        remove_stale_folders(work.path.parent)
        sources = _sources(work, folder)
        if _is_current(work, sources):
            return False
        parts = {name: _part(work, name, folder) for name in work.product.parts}
        _record_path(work).unlink(missing_ok=True)  # a product without a record is made anew
        _make(work, folder, list(parts.values()), tick)
        identities = {name: part_id(samples) for name, samples in parts.items()}
        write_json(_record_path(work), {"dataset": work.manifest.spec.id, "sources": sources, "parts": identities})
    return True


def _is_dataset(name: str) -> bool:
    path = Path(name)
    return name in dataset_manifests() or path.name == "source.toml" or (path / "source.toml").is_file()


def _of_dataset(name: str) -> list[Work]:
    manifest = find_dataset(name)
    return [Work(manifest, product) for product in manifest.spec.products]


def _of_benchmark(name: str) -> list[Work]:
    known = {each.split("@")[0] for each in benchmark_files()}
    if not name.endswith(".toml") and name.split("@")[0] not in known:
        raise unknown("data set or benchmark", name, [*known, *dataset_manifests()])
    named = set(_texts(find_protocol(name).benchmark.canonical()))
    works = [work for dataset in dataset_manifests() for work in _of_dataset(dataset)]
    return [work for work in works if work.product.path in named]


def _texts(value: Any) -> Iterator[str]:
    """All texts inside of plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _sources(work: Work, folder: Path) -> dict[str, str]:
    """What a product follows from: the manifest's rules, and the files by name, size and time."""
    spec = work.manifest.spec
    reader = None if spec.reader is None else spec.reader.canonical()
    rules = {name: part.canonical() for name, part in spec.parts.items()}
    lists = {step.file for part in spec.parts.values() for step in part.steps if isinstance(step, Listed)}
    beside = [
        [name, file_id(work.manifest.folder / name)]
        for name in sorted(lists)
        if (work.manifest.folder / name).is_file()
    ]
    states = [(name, (folder / name).stat()) for name in walk(folder)]
    files = [[name, state.st_size, state.st_mtime_ns] for name, state in states]
    return {
        "rules": content_id([_LAYOUT, reader, rules, work.product.canonical()]),
        "files": content_id([files, beside]),
    }


def _is_current(work: Work, sources: dict[str, str]) -> bool:
    record = _record_path(work)
    if not work.path.exists() or not record.is_file():
        return False
    try:
        made = read_json(record)
    except IntegrityError:
        return False
    return isinstance(made, dict) and made.get("sources") == sources


def _record_path(work: Work) -> Path:
    return work.path.with_name(f".{work.path.name}{RECORD}")


def _part(work: Work, name: str, folder: Path) -> Samples:
    """A part, as it was when the data set was locked. Raises IntegrityError if it is not."""
    manifest = work.manifest
    samples = select(name, manifest.spec.parts, open_listing(manifest, folder), (folder, manifest.folder))
    pinned = manifest.lock.parts.get(name) if manifest.lock else None
    if pinned is not None and part_id(samples) != pinned:
        raise IntegrityError(
            f"the part {name} of {manifest.spec.id} has other samples than when the data set was locked; "
            f"fetch it again, or see what changed."
        )
    return samples


def _make(work: Work, folder: Path, parts: Sequence[Samples], tick: Tick) -> None:
    form, reader = work.product.form, work.manifest.spec.reader
    if isinstance(form, RawFolderForm):
        if not isinstance(reader, VolumesReader):
            raise UsageError(f"{work.product.path} is a folder of volumes, for which the reader must be `volumes`.")
        names = [name for part in parts for name in part.ids]
        _check_space(work, raw_bytes(reader, folder, names))
        write_raw_folder(reader, folder, names, work.path, tick)
    else:
        _check_space(work, bytes_of(parts, form))
        write_arrays_of(parts, form, work.path, tick)


def _check_space(work: Work, needed: int) -> None:
    free = shutil.disk_usage(work.path.parent).free
    if needed + _SPARE > free:
        raise UsageError(
            f"{work.product.path} takes {needed / 1e9:.1f} GB, but {work.path.parent} has {free / 1e9:.1f} GB left; "
            f"make room, or set HARNESS_CACHE to another disk."
        )

"""Making the files that protocols name out of data sets: once, atomically, and anew when their sources change."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.data.catalog import benchmark_files, find_protocol, prepared_folder
from harness.data.forms import Tick, bytes_of, write_arrays_of
from harness.data.manifests import MANIFEST, Manifest, dataset_manifests, find_dataset, read_datasets
from harness.data.raw_folders import raw_bytes, write_raw_folder
from harness.data.readers.base import Selection
from harness.data.readers.files import walk
from harness.data.readers.opening import open_part, part_id
from harness.data.store import dataset_folder
from harness.spec.errors import UsageError, unknown
from harness.spec.parts import Listed
from harness.spec.products import Product, RawFolderForm, WeightsForm
from harness.spec.readers import ImageTreeReader, VolumesReader
from harness.storage import (
    IntegrityError,
    RunLock,
    content_id,
    file_id,
    make_folder,
    read_json,
    remove_stale_folders,
    remove_stale_temporaries,
    write_json,
)

RECORD = ".made.json"
"""Ends the name of the file beside a product that says what it was made of."""

MakeWeights = Callable[[Path, Path], None]
"""Writes a file of weights, the second path, from the checkpoints below a folder, the first: networks are known above."""

_LAYOUT = 1  # of what is written: a higher number makes all products anew
_SPARE = 1 << 28  # bytes of the disk that stay free


@dataclass(frozen=True)
class ProductJob:
    """One product of a data set that is to be there."""

    manifest: Manifest
    product: Product

    @property
    def path(self) -> Path:
        """Where the product lies, or would."""
        return prepared_folder() / self.product.path


def jobs_for(name: str, pattern: str = "*") -> list[ProductJob]:
    """What a data set offers, or what a benchmark names and a data set offers; `pattern` narrows the products' paths.

    Raises UsageError for an unknown name, or one for which nothing can be made.
    """
    jobs = _of_dataset(name) if _is_dataset(name) else _of_benchmark(name)
    if not jobs:
        raise UsageError(" ".join([f"{name} has no file that is made from data sets.", *unreadable(name)]))
    chosen = [job for job in jobs if fnmatchcase(job.product.path, pattern)]
    if not chosen:
        raise unknown("product", pattern, [job.product.path for job in jobs])
    return chosen


def unreadable(name: str) -> list[str]:
    """Why data sets cannot be read that may offer files of a benchmark, a sentence each; none for a data set."""
    found, problems = ({}, {}) if _is_dataset(name) else read_datasets()
    return [problem for each, problem in problems.items() if each not in found]


def _no_networks(folder: Path, target: Path) -> None:
    raise UsageError(f"{target.name} holds the weights of a network; make it by the command harness data prepare.")


def prepare(job: ProductJob, tick: Tick = lambda done: None, make_weights: MakeWeights = _no_networks) -> bool:
    """Make the product unless it is there and its sources are as they were; returns whether it was made.

    Only one process prepares at a time. `tick` is told how many samples are done. Raises UsageError for data that are
    not fetched and for a full disk, IntegrityError for damaged data, and what `make_weights` raises; an
    old product then stays as it was.
    """
    folder = dataset_folder(job.manifest)
    make_folder(job.path.parent)
    with RunLock(job.path.parent):
        remove_stale_temporaries(job.path.parent)
        remove_stale_folders(job.path.parent)
        sources = _sources(job, folder)
        if _is_current(job, sources):
            return False
        parts = {name: open_part(job.manifest, name, folder) for name in job.product.parts}
        _record_path(job).unlink(missing_ok=True)  # a product without a record is made anew
        if isinstance(job.product.form, WeightsForm):
            make_weights(folder, job.path)
        else:
            _make(job, folder, list(parts.values()), tick)
        identities = {name: part_id(samples) for name, samples in parts.items()}
        write_json(_record_path(job), {"dataset": job.manifest.spec.id, "sources": sources, "parts": identities})
    return True


def _is_dataset(name: str) -> bool:
    path = Path(name)
    return name in dataset_manifests() or path.name == MANIFEST or (path / MANIFEST).is_file()


def _of_dataset(name: str) -> list[ProductJob]:
    manifest = find_dataset(name)
    return [ProductJob(manifest, product) for product in manifest.spec.products]


def _of_benchmark(name: str) -> list[ProductJob]:
    known = {each.split("@")[0] for each in benchmark_files()}
    if not name.endswith(".toml") and name.split("@")[0] not in known:
        raise unknown("data set or benchmark", name, [*known, *dataset_manifests()])
    named = set(_texts(find_protocol(name).benchmark.canonical()))
    jobs = (ProductJob(each, product) for each in read_datasets()[0].values() for product in each.spec.products)
    return [job for job in jobs if job.product.path in named]


def _texts(value: Any) -> Iterator[str]:
    """All texts inside of plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _sources(job: ProductJob, folder: Path) -> dict[str, str]:
    """What a product follows from: the manifest's rules, and the files by name, size and time."""
    spec = job.manifest.spec
    rules = {name: part.canonical() for name, part in spec.parts.items()}
    lists = {step.file for part in spec.parts.values() for step in part.steps if isinstance(step, Listed)}
    if isinstance(spec.reader, ImageTreeReader) and spec.reader.table:
        lists.add(spec.reader.table)
    beside = [
        [name, file_id(job.manifest.folder / name)] for name in sorted(lists) if (job.manifest.folder / name).is_file()
    ]
    states = [(name, (folder / name).stat()) for name in walk(folder)]
    files = [[name, state.st_size, state.st_mtime_ns] for name, state in states]
    return {
        "rules": content_id([_LAYOUT, spec.reader and spec.reader.canonical(), rules, job.product.canonical()]),
        "files": content_id([files, beside]),
    }


def _is_current(job: ProductJob, sources: dict[str, str]) -> bool:
    record = _record_path(job)
    if not job.path.exists() or not record.is_file():
        return False
    try:
        made = read_json(record)
    except IntegrityError:
        return False
    return isinstance(made, dict) and made.get("sources") == sources


def _record_path(job: ProductJob) -> Path:
    return job.path.with_name(f".{job.path.name}{RECORD}")


def _make(job: ProductJob, folder: Path, parts: Sequence[Selection], tick: Tick) -> None:
    form, reader = job.product.form, job.manifest.spec.reader
    assert not isinstance(form, WeightsForm)
    if isinstance(form, RawFolderForm):
        if not isinstance(reader, VolumesReader):
            raise UsageError(f"{job.product.path} is a folder of volumes, for which the reader must be `volumes`.")
        names = [name for part in parts for name in part.ids]
        _check_space(job, raw_bytes(reader, folder, names))
        write_raw_folder(reader, folder, names, job.path, tick)
    else:
        _check_space(job, bytes_of(parts, form))
        write_arrays_of(parts, form, job.path, tick)


def _check_space(job: ProductJob, needed: int) -> None:
    free = shutil.disk_usage(job.path.parent).free
    if needed + _SPARE > free:
        raise UsageError(
            f"{job.product.path} takes {needed / 1e9:.1f} GB, but {job.path.parent} has {free / 1e9:.1f} GB left; "
            f"make room, or set HARNESS_CACHE to another disk."
        )

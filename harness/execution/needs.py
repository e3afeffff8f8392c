"""What a benchmark needs on this machine: files that protocols name, the data sets that they are made of, their terms.

Reads manifests and looks for files; nothing is downloaded and no data are opened, so that it works where nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from harness.data.catalog import LoadedBenchmark
from harness.data.manifests import Manifest, load_manifest, read_datasets
from harness.data.store import is_here, named_file, read_index, reference
from harness.spec.artefact import Artefact
from harness.spec.errors import UsageError
from harness.spec.manifest import OwnFile, SourceFile
from harness.spec.predictions import PredictionSource
from harness.spec.query import RawFolder
from harness.spec.released import ReleasedSource
from harness.spec.sources import FDShiftsStudy, ImageSource

Datasets = tuple[dict[str, Manifest], dict[str, str]]
"""All bundled ones, and what is wrong with any."""


@dataclass(frozen=True)
class Need:
    """A data set that a benchmark rests on.

    bytes: of the files whose size is recorded or roughly known; `about` if any of it is rough. unsized: files of which
    nobody knows the size. bytes_missing: the share of `bytes` that is not here. fetch, prepare: commands for what is
    missing, empty if nothing is. pages: where files that need an account or a form are asked for. products: files that
    the benchmark names and that are prepared from it.
    """

    dataset: str
    title: str
    licence: str
    access: str
    terms: str
    pages: tuple[str, ...]
    files: int
    files_here: int
    bytes: int
    bytes_missing: int
    about: bool
    unsized: int
    locked: bool
    products: tuple[str, ...]
    fetch: tuple[str, ...]
    prepare: tuple[str, ...]


@dataclass(frozen=True)
class Needs:
    """data: data sets. absent: files that the benchmark names and that are not here; of these, no data set says how
    `unexplained` are made."""

    data: tuple[Need, ...]
    absent: tuple[str, ...]
    unexplained: tuple[str, ...]


@dataclass
class _Wanted:
    """What of a data set is asked for: all files, or some by path; and which products."""

    manifest: Manifest
    every_file: bool = False
    files: set[str] = field(default_factory=set)
    products: list[str] = field(default_factory=list)


def needs_of(protocol: LoadedBenchmark, datasets: Datasets | None = None) -> Needs:
    """The data sets of a benchmark, whatever its track. Raises UsageError for one that is not known or cannot be read.

    datasets: from `read_datasets`, for who asks about many benchmarks.
    """
    manifests, problems = datasets or read_datasets()
    owners = {product.path: name for name, manifest in manifests.items() for product in manifest.spec.products}
    wanted: dict[str, _Wanted] = {}
    absent, unexplained = [], []
    for path in dict.fromkeys(_named_files(protocol.benchmark)):
        here = protocol.locate(path).exists()
        absent += [] if here else [path]
        if path in owners:
            entry = wanted.setdefault(owners[path], _Wanted(manifests[owners[path]], every_file=True))
            entry.products.append(path)
        elif named := named_file(path):
            wanted.setdefault(named[0].spec.id, _Wanted(manifests[named[0].spec.id])).files.add(named[1].path)
        elif not here:
            unexplained.append(path)
    for name, entry in _by_id(protocol, manifests, problems).items():
        wanted[name] = entry
    data = tuple(_need(protocol, each) for each in wanted.values())
    return Needs(data, tuple(absent), tuple(unexplained))


def require_data(protocol: LoadedBenchmark, datasets: Datasets | None = None) -> None:
    """Raise UsageError that says how to get the data of a benchmark, where any of them are not here."""
    commands = [command for need in needs_of(protocol, datasets).data for command in (*need.fetch, *need.prepare)]
    if commands:
        raise UsageError(f"the data of {protocol.benchmark.name} are not here yet; run: {' && '.join(commands)}")


def _named_files(model: Any) -> Iterator[str]:
    """Paths of the files and folders that a benchmark names, wherever in it."""
    if isinstance(model, Artefact):
        yield model.path
        return
    if isinstance(model, RawFolder):
        yield model.folder
    if isinstance(model, BaseModel):
        for name in type(model).model_fields:
            yield from _named_files(getattr(model, name))
    elif isinstance(model, tuple | list):
        for each in model:
            yield from _named_files(each)
    elif isinstance(model, Mapping):
        for each in model.values():
            yield from _named_files(each)


def _by_id(
    protocol: LoadedBenchmark, manifests: Mapping[str, Manifest], problems: Mapping[str, str]
) -> dict[str, _Wanted]:
    """The data sets that a source names by id; of released weights, only the archives that it uses."""
    source = protocol.benchmark.source
    if not isinstance(source, ReleasedSource | FDShiftsStudy | ImageSource | PredictionSource):
        return {}
    wanted: dict[str, _Wanted] = {}
    for name in source.datasets:
        if name.endswith(".toml"):
            own = load_manifest(protocol.path.parent / name)
            wanted[name] = _Wanted(own, every_file=not isinstance(source, ReleasedSource))
        elif name in manifests:
            wanted[name] = _Wanted(manifests[name], every_file=not isinstance(source, ReleasedSource))
        elif name in problems:
            raise UsageError(problems[name])
        else:
            raise UsageError(
                f"{protocol.path} rests on the data set {name!r}, which is not known; see: harness data list"
            )
    for experiment in source.experiments if isinstance(source, ReleasedSource) else ():
        entry = wanted[experiment.weights]
        folders = {file.path: file.into for file in entry.manifest.spec.files if file.into}
        inside = {path for path, folder in folders.items() if experiment.checkpoint.startswith(f"{folder}/")}
        entry.files |= inside
        entry.every_file |= not inside
        for each in experiment.sets:
            wanted[each.dataset].every_file = True
    return wanted


def _need(protocol: LoadedBenchmark, wanted: _Wanted) -> Need:
    manifest, spec = wanted.manifest, wanted.manifest.spec
    index = read_index(manifest.key, spec.id)
    files = [file for file in spec.files if wanted.every_file or file.path in wanted.files]
    missing = [file for file in files if not is_here(manifest, file, index)]
    sizes = {file.path: _size(manifest, file) for file in files}
    unprepared = [path for path in wanted.products if not protocol.locate(path).exists()]
    if wanted.products and not unprepared:
        missing = []  # what was prepared is all that a run reads
    name = reference(manifest)
    return Need(
        dataset=spec.id,
        title=spec.title,
        licence=spec.licence,
        access=spec.access,
        terms=spec.terms,
        pages=tuple(dict.fromkeys(file.origin.page for file in files if isinstance(file.origin, OwnFile))),
        files=len(files),
        files_here=len(files) - len(missing),
        bytes=sum(size or 0 for size in sizes.values()),
        bytes_missing=sum(sizes[file.path] or 0 for file in missing),
        about=any(manifest.pin(file).bytes is None and sizes[file.path] is not None for file in files),
        unsized=sum(size is None for size in sizes.values()),
        locked=all(manifest.pin(file).sha256 for file in files),
        products=tuple(wanted.products),
        fetch=_commands(name, missing, every=len(missing) == len(spec.files)),
        prepare=(f"harness data prepare {name}",) if unprepared else (),
    )


def _size(manifest: Manifest, file: SourceFile) -> int | None:
    exact = manifest.pin(file).bytes
    return exact if exact is not None else file.about_bytes


def _commands(name: str, missing: list[SourceFile], *, every: bool) -> tuple[str, ...]:
    """Those that fetch what is missing; single files are named where others are not wanted, or are here."""
    own = " --from FOLDER" if any(isinstance(file.origin, OwnFile) for file in missing) else ""
    if every or not missing:
        return (f"harness data fetch {name}{own}",) if missing else ()
    return tuple(f"harness data fetch {name} --file '{file.path}'{own}" for file in missing)

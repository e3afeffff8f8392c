"""Finding benchmarks, boards and the files that travel with the harness."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.data.toml import read_extended
from harness.spec.artefact import Artefact
from harness.spec.benchmark import Benchmark
from harness.spec.errors import UsageError, did_you_mean, first_problem, nearest, unknown
from harness.spec.kinds import kinds, load
from harness.spec.protocols import read_benchmark
from harness.storage import IntegrityError, content_id, file_id

Kind = TypeVar("Kind", bound=Benchmark)

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class LoadedBenchmark:
    """A benchmark as loaded: the specification, its hash, and where its file lies."""

    benchmark: Benchmark
    hash: str
    path: Path

    @property
    def bundled(self) -> bool:
        """Whether it travels with the harness, and so has submissions and a board; else it is one of the user's own."""
        known = benchmark_files().get(self.benchmark.name)
        return known is not None and known.resolve() == self.path.resolve()

    def of(self, kind: type[Kind]) -> Kind:
        """The benchmark, for a caller that serves this kind only."""
        if not isinstance(self.benchmark, kind):
            raise TypeError(f"{self.benchmark.name} is a benchmark for {self.benchmark.task}")
        return self.benchmark

    def refuse_withdrawn(self) -> None:
        """What a withdrawn version says is not so: nothing is to be scored by it, or passed on. One that is only
        deprecated may be."""
        if self.benchmark.status == "withdrawn":
            raise UsageError(f"{self.benchmark.ended}.")

    def private_folders(self) -> tuple[str, ...]:
        """Files and folders of the user's own data that the protocol names and that may hold labels: closed to methods."""
        named = {*getattr(self.benchmark.source, "folders", ()), *_named(self.benchmark.model_dump(mode="json"))}
        return tuple(str(path) for path in map(self.locate, sorted(named)) if path.exists())

    def locate(self, relative: str) -> Path:
        """A file that the protocol names: beside its own file, else among the bundled data sets, else among the files
        that `harness data prepare` has made, else, as `<data set>/<file>`, among fetched ones; where there is none, where
        the first would be."""
        places = (self.path.parent, bundled_folder("datasets"), prepared_folder())
        found = next((place / relative for place in places if (place / relative).exists()), None)
        return found or _fetched(relative) or places[0] / relative

    def verified(self, artefact: Artefact) -> tuple[Path, str]:
        """Path and sha256 of an artefact. Raises UsageError if missing, IntegrityError if changed."""
        path = self.locate(artefact.path)
        dataset = artefact.path.partition("/")[0]
        if not path.is_file() and _is_fetched_from_elsewhere(dataset):
            raise UsageError(
                f"{self.benchmark.name} needs {artefact.path}, which is not here yet; run: harness data fetch {dataset}"
            )
        if not path.is_file() and not self.path.resolve().is_relative_to(bundled_folder("leaderboards").resolve()):
            near = did_you_mean(path.name, [each.name for each in path.parent.glob(f"*{path.suffix}")])
            raise UsageError(
                f"{self.path}: there is no file {artefact.path} beside it; "
                + (near or "paths in a benchmark file are relative to that file.")
            )
        if not path.is_file():
            raise UsageError(
                f"{self.benchmark.name} needs the file {artefact.path}, which lies neither beside {self.path} nor in "
                f"{bundled_folder('datasets')}, nor has it been made by `harness data prepare` in {prepared_folder()}."
            )
        found = file_id(path)
        if artefact.sha256 is not None and found != artefact.sha256:
            raise IntegrityError(
                f"{path} is not the file that {self.benchmark.name} was made with "
                f"(sha256 {found[:12]}…, expected {artefact.sha256[:12]}…); restore it or reinstall."
            )
        return path, found


def bundled_folder(name: str) -> Path:
    """`leaderboards`, `submissions` or `datasets`: in the wheel, or in the checkout around the package."""
    inside = _PACKAGE / "_bundled" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def cache_folder() -> Path:
    """Where computed outputs are kept: `HARNESS_CACHE`, else the platform's cache folder. May be deleted."""
    if os.environ.get("HARNESS_CACHE"):
        return Path(os.environ["HARNESS_CACHE"])
    base = Path.home() / "Library/Caches" if sys.platform == "darwin" else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME", base)) / "harness"


def prepared_folder() -> Path:
    """Where `harness data prepare` lays the files that protocols name."""
    return cache_folder() / "data" / "prepared"


def sets_folder() -> Path:
    """Where the files of fetched data sets lie: `<id>-<8 digits>/`, and beside it `<id>-<8 digits>.json`."""
    return cache_folder() / "data" / "sets"


def _is_fetched_from_elsewhere(dataset: str) -> bool:
    return (bundled_folder("datasets") / dataset / "source.toml").is_file()


def _fetched(relative: str) -> Path | None:
    """The file `<data set>/<file>` of a bundled data set in the cache; of the layouts that it has had, as fetched last."""
    dataset, _, inside = relative.partition("/")
    if not inside or not _is_fetched_from_elsewhere(dataset):
        return None
    indexes = sets_folder().glob(f"{dataset}-{'[0-9a-f]' * 8}.json")
    found = [path for path in indexes if (path.with_suffix("") / inside).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime).with_suffix("") / inside if found else None


def benchmark_files() -> dict[str, Path]:
    """`id@version` -> benchmark.toml of every bundled benchmark."""
    files = sorted(bundled_folder("leaderboards").glob("*/*/benchmark.toml"))
    return {f"{path.parent.parent.name}@{path.parent.name}": path for path in files if path.parent.name.isdecimal()}


def find_protocol(name: str) -> LoadedBenchmark:
    """The benchmark `id`, `id@version` or `path.toml`. Without a version, the newest."""
    if name.endswith(".toml"):
        return load_protocol(Path(name))
    known = benchmark_files()
    if "@" in name:
        if name not in known:
            raise unknown("benchmark", name, known, "A benchmark of your own is a path that ends in .toml.")
        return load_protocol(known[name])
    versions = sorted((int(key.split("@")[1]), path) for key, path in known.items() if key.split("@")[0] == name)
    if not versions:
        names = {key.split("@")[0] for key in known}
        raise unknown("benchmark", name, names, "A benchmark of your own is a path that ends in .toml.")
    return load_protocol(versions[-1][1])


def load_protocol(path: Path) -> LoadedBenchmark:
    """Read and check a benchmark file. Raises UsageError that names the field to mend."""
    if not path.is_file():
        # By their names alone: that both end in .toml makes no two files alike.
        near = nearest(path.stem, [each.stem for each in path.parent.glob("*.toml")])
        advice = (
            f"did you mean {path.with_name(near[0] + '.toml')}?"
            if near
            else "name one that ends in .toml, or a bundled one."
        )
        raise UsageError(f"the benchmark file {path} does not exist; {advice}")
    try:
        fields = read_extended(path)
        benchmark = read_benchmark(fields)
    except ValidationError as error:
        _refuse_unknown_metrics(fields, error, path)
        raise UsageError(f"{path}: {first_problem(error, data=fields)}") from error
    except ValueError as error:  # no kind of that name is installed
        raise UsageError(f"{path}: task: {error}.") from error
    released = benchmark.model_copy(update={"status": "open", "successor": None})  # its end changes no result of it
    return LoadedBenchmark(benchmark, content_id(released.canonical()), path)


def _refuse_unknown_metrics(fields: Any, error: ValidationError, path: Path) -> None:
    """Where names do not agree, it is a misspelt metric that is named, not what misses it: names of metrics are known."""
    owner = kinds().get(fields.get("task"))
    if owner is None or not owner.metrics or error.errors(include_url=False)[0]["type"] != "value_error":
        return
    known, listed = {fact.id for fact in load(owner.metrics)}, fields.get("metrics")
    for each in listed if isinstance(listed, list) else ():
        name = each.get("id") if isinstance(each, dict) else each
        if isinstance(name, str) and name not in known:
            raise unknown(f"metric in {path}", name, known)


def _named(value: Any) -> Iterator[str]:
    """Paths in a protocol's plain data; of a pattern what comes before its first varying part."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("path", "folder") and isinstance(each, str):
                fixed, varies, _ = each.partition("{")
                yield from filter(None, [fixed.rpartition("/")[0] if varies else each])
            else:
                yield from _named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)

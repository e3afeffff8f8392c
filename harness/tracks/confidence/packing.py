"""Write an inference pack: everything that a confidence score may ask of a benchmark's models, and the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

import harness
from harness.data.catalog import LoadedBenchmark
from harness.data.packs import INPUTS, LABELS, MANIFEST, open_pack
from harness.spec.artefact import Artefact
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError, unknown
from harness.spec.grids import GridSource, Model
from harness.spec.pack import (
    INDEX,
    OUTCOMES,
    Pack,
    PackedFile,
    PackedModel,
    input_path,
    network_path,
    output_path,
    shared_path,
)
from harness.spec.sources import PackSource
from harness.storage import (
    IntegrityError,
    file_id,
    make_folder,
    remove_stale_temporaries,
    write_bytes,
    write_json,
    write_table,
    write_tensors,
    write_text,
)
from harness.tracks.cache import numeric_libraries
from harness.tracks.confidence.model_outputs import OutputSource
from harness.tracks.confidence.pack_card import pack_card
from harness.tracks.confidence.sources import open_source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BENCHMARK = "benchmark.toml"
CARD = "README.md"
_ROWS = 1 << 16


@dataclass(frozen=True)
class PackRequest:
    """What to pack. models: ids, empty for all. inputs: whether images and weights go in, too."""

    out: Path
    models: tuple[str, ...] = ()
    inputs: bool = False
    device: str = "cpu"


def write_pack(
    protocol: LoadedBenchmark, request: PackRequest, report: Callable[[str, float], None] = lambda what, share: None
) -> Pack:
    """Make or renew the pack of a benchmark in a folder; `report` takes what is done and its share, in [0, 1].

    One model's outputs on one set are in memory at a time. The folder gets a benchmark file of its own, with the pack
    for its source, and a card. The same outputs give the same bytes.

    Raises UsageError for a benchmark of another track or a withdrawn one, unknown models, and a folder that holds
    something else; StorageError where the disk is full, after which the same call takes the folder up again.
    """
    if not isinstance(protocol.benchmark, ConfidenceBenchmark):
        raise UsageError(f"{protocol.benchmark.name} is no benchmark of confidence scores; only these have packs.")
    protocol.refuse_withdrawn()
    if isinstance(protocol.benchmark.source, GridSource):
        raise UsageError(
            f"{protocol.benchmark.name} asks each study of the networks of one training set, and chooses between them; "
            "a pack cannot say so yet. Pack a benchmark file of your own whose source lists the models."
        )
    models = _chosen(protocol.benchmark, request.models)
    _check_folder(request, protocol, models)
    pack = _Packing(protocol.benchmark, open_source(protocol, request.device), request)
    steps = [partial(pack.add_inputs, name) for name in pack.sets] if request.inputs else []
    steps += [partial(pack.add_model, model) for model in models]
    for number, step in enumerate(steps):
        report(step.args[0].id if isinstance(step.args[0], Model) else f"inputs of {step.args[0]}", number / len(steps))
        step()
    pack.add_index()
    outcomes = pack.add_outcomes(protocol)
    return _close(pack, protocol, outcomes)


@dataclass
class _Packing:
    """A pack while it is made."""

    benchmark: ConfidenceBenchmark
    source: OutputSource
    request: PackRequest
    files: dict[str, PackedFile] = field(default_factory=dict)
    models: list[PackedModel] = field(default_factory=list)
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    labels: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """By set and model; the model is "" for the labels that a set has with the first model, and mostly with all."""

    @property
    def sets(self) -> tuple[str, ...]:
        return self.benchmark.source.set_names

    def add_model(self, model: Model) -> None:
        """All outputs of one model, set by set."""
        network = self.source.network(model) if self.request.inputs else None
        if shared := self.source.shared(model):
            self._tensors(shared_path(model.id), shared)
        if network is not None:
            self._tensors(network_path(model.id), network[1])
        self.samples[model.id] = {}
        for name in self.sets:
            samples = self.source.samples(model, name)
            self._tensors(output_path(model.id, name), {**samples.arrays, LABELS: samples.labels})
            self.samples[model.id][name] = len(samples.labels)
            self._keep_labels(model.id, name, samples.labels)
        described = model.model_dump(include=set(Model.model_fields))
        self.models.append(PackedModel(**described, network=network[0] if network else None))

    def add_inputs(self, name: str) -> None:
        """What the networks were given for a set."""
        inputs = self.source.inputs(name)
        if inputs is None:
            raise UsageError(f"{self.benchmark.name} has no inputs to pack; leave --inputs out.")
        self._tensors(input_path(name), {INPUTS: inputs})

    def add_index(self) -> None:
        """One row for each sample: set, row in the arrays, model (empty: all), sample, label, studies."""
        path = self._folder_of(INDEX)
        write_table(path, _index_schema(), self._index())
        self.files[INDEX] = _packed(path)

    def add_outcomes(self, protocol: LoadedBenchmark) -> Artefact | None:
        """The pinned outcomes, where the benchmark pins them: they rule over this machine's predictions."""
        if self.benchmark.outcomes is None:
            return None
        path = self._folder_of(OUTCOMES)
        write_bytes(path, protocol.verified(self.benchmark.outcomes)[0].read_bytes())
        self.files[OUTCOMES] = _packed(path)
        return Artefact(path=OUTCOMES, sha256=self.files[OUTCOMES].sha256)

    def _tensors(self, relative: str, arrays: dict[str, np.ndarray]) -> None:
        path = self._folder_of(relative)
        write_tensors(path, arrays)
        self.files[relative] = _packed(path)

    def _keep_labels(self, model: str, name: str, labels: np.ndarray) -> None:
        import numpy as np

        common = self.labels.setdefault((name, ""), labels)
        if not np.array_equal(common, labels):
            self.labels[name, model] = labels

    def _index(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for (name, model), labels in sorted(self.labels.items()):
            studies = ",".join(study.id for study in self.benchmark.studies if name in study.sets)
            ids = None if model else self.source.sample_ids(name)
            if ids is not None and len(ids) != len(labels):
                raise IntegrityError(f"set {name}: {len(ids)} names of samples for {len(labels)} labels.")
            for start in range(0, len(labels), _ROWS):
                rows = range(start, min(start + _ROWS, len(labels)))
                columns = [
                    [name] * len(rows),
                    rows,
                    [model] * len(rows),
                    [f"{name}/{row}" if ids is None else ids[row] for row in rows],
                    labels[start : start + _ROWS],
                    [studies] * len(rows),
                ]
                arrays = [pa.array(column, type=of.type) for column, of in zip(columns, _index_schema(), strict=True)]
                yield pa.record_batch(arrays, schema=_index_schema())

    def _folder_of(self, relative: str) -> Path:
        path = self.request.out / relative
        make_folder(path.parent)
        return path


def _close(pack: _Packing, protocol: LoadedBenchmark, outcomes: Artefact | None) -> Pack:
    """What makes a folder of files a pack: its document, a benchmark that names it, and the card."""
    benchmark, out = pack.benchmark, pack.request.out
    document = Pack(
        benchmark=benchmark.name,
        benchmark_hash=protocol.hash,
        title=benchmark.title,
        licence=benchmark.licence,
        citation=benchmark.citation,
        models=tuple(pack.models),
        samples=pack.samples,
        files=pack.files,
        inputs=pack.request.inputs,
        device=pack.request.device,
        made_with={
            "harness": harness.__version__,
            **numeric_libraries(),
            "safetensors": metadata.version("safetensors"),
        },
    )
    write_json(out / MANIFEST, document.model_dump(mode="json"))
    source = PackSource(
        kind="pack",
        pack=Artefact(path=MANIFEST, sha256=file_id(out / MANIFEST)),
        models=tuple(Model(**model.model_dump(exclude={"network"})) for model in pack.models),
        sets=pack.sets,
    )
    changed = {"id": f"{benchmark.id}-pack", "source": source, "outcomes": outcomes, "successor": None}
    packed = benchmark.model_copy(update=changed)
    write_text(out / BENCHMARK, tomli_w.dumps(packed.model_dump(mode="json", exclude_none=True)))
    write_text(out / CARD, pack_card(document))
    return document


def _chosen(benchmark: ConfidenceBenchmark, names: Sequence[str]) -> list[Model]:
    known = {model.id: model for model in benchmark.source.models}
    for name in names:
        if name not in known:
            raise unknown(f"model of {benchmark.name}", name, known)
    chosen = [model for model in known.values() if not names or model.id in names]
    if benchmark.default_family not in {model.family for model in chosen}:
        raise UsageError(
            f"no model of the family {benchmark.default_family} is named, on which {benchmark.name} runs most methods."
        )
    return chosen


def _check_folder(request: PackRequest, protocol: LoadedBenchmark, models: Sequence[Model]) -> None:
    """A folder may hold nothing, or this very pack, finished or not: files of another would be taken for parts of it."""
    out = request.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder with --out.")
    if (out / MANIFEST).is_file() and (found := open_pack(out).document).benchmark_hash != protocol.hash:
        raise UsageError(f"{out} holds a pack of {found.benchmark}, in another version or of another content.")
    own = _places(request, protocol.of(ConfidenceBenchmark), models)
    for path in sorted([out, *out.rglob("*")]):
        if path.is_dir():
            remove_stale_temporaries(path)
        elif path.is_file() and path.relative_to(out).as_posix() not in own:
            raise UsageError(f"{path} is no part of this pack; name another folder with --out, or remove it.")
    make_folder(out)


def _places(request: PackRequest, benchmark: ConfidenceBenchmark, models: Sequence[Model]) -> set[str]:
    """All files that the pack may have."""
    sets = benchmark.source.set_names
    places = {MANIFEST, BENCHMARK, CARD, INDEX, OUTCOMES}
    for model in models:
        places |= {shared_path(model.id), *(output_path(model.id, name) for name in sets)}
        places |= {network_path(model.id)} if request.inputs else set()
    return places | {input_path(name) for name in sets if request.inputs}


def _packed(path: Path) -> PackedFile:
    return PackedFile(sha256=file_id(path), bytes=path.stat().st_size)


def _index_schema() -> pa.Schema:
    import pyarrow as pa

    text = ("set", "model", "sample", "studies")
    names = ("set", "row", "model", "sample", "label", "studies")
    return pa.schema([(name, pa.string() if name in text else pa.int64()) for name in names])

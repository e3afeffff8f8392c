"""Model outputs by model and sample set, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.data.catalog import LoadedBenchmark, cache_folder
from harness.data.fdshifts import FDShiftsFolder, read_fdshifts, stored_files
from harness.data.tables import OutputTable, read_table, rows_of
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError
from harness.spec.grids import Model
from harness.spec.released import CORRUPTIONS, SEVERITIES, ReleasedSource
from harness.spec.sources import FDShiftsSource, FDShiftsStudy, GridFolder, ImageSource, PackSource, TableSource
from harness.storage import IntegrityError, content_id, file_id, write_arrays
from harness.tracks.confidence.cache import make_cache, numeric_libraries, read_cached

if TYPE_CHECKING:
    import numpy as np

ABSENT = "absent"
"""Stands for the hash of what is not on this machine, so that a run can be planned."""
INFERENCE_VERSION = "1"
"""Part of the cache key of computed outputs: raised by any change that may change them."""


@dataclass(frozen=True)
class SampleSet:
    """What a model said about n samples (label-free arrays), and their labels (n,)."""

    arrays: dict[str, np.ndarray]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> SampleSet:
        """Some of the samples. In arrays of MC members the samples are the second axis."""
        arrays = {
            name: array[:, rows] if name.startswith("mc_") else array[rows] for name, array in self.arrays.items()
        }
        return SampleSet(arrays, self.labels[rows])


class OutputSource(Protocol):
    """One of the kinds of source."""

    def artefacts(self, model: Model) -> dict[str, str]:
        """Name -> sha256 of every file that this model's numbers rest on."""
        ...

    def samples(self, model: Model, name: str) -> SampleSet: ...

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        """`weight` and `bias` of the last layer, where they are known."""
        ...

    def inputs(self, name: str) -> np.ndarray | None:
        """Images of a set as the network takes them, where there are any."""
        ...

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """How to build the network, and its weights, where it can be run."""
        ...

    def ready(self, model: Model, name: str) -> bool:
        """Whether `samples` needs no computation."""
        ...

    def sample_ids(self, name: str) -> Sequence[str] | None:
        """(n,) names by which samples are known outside, where there are any."""
        ...

    def absent(self) -> Mapping[str, str]:
        """Of `inputs` and `model`, those that are offered to no method, and why, in a sentence without its end."""
        ...

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        """Data sets, and what of them, that these models rest on and that are not on this machine."""
        ...


def open_source(protocol: LoadedBenchmark, device: str, *, members: bool = True) -> OutputSource:
    """The source that a benchmark names. Without `members`, costly outputs of Monte-Carlo dropout are left out."""
    source = protocol.of(ConfidenceBenchmark).source
    if isinstance(source, ReleasedSource):
        from harness.tracks.confidence.released import ReleasedOutputs

        return ReleasedOutputs(protocol, source, device, members=members)
    if isinstance(source, ImageSource):
        return _Images(protocol, source, device)
    if isinstance(source, FDShiftsSource | FDShiftsStudy):
        return _Folders(protocol, source)
    if isinstance(source, PackSource):
        from harness.tracks.confidence.packs import PackedOutputs  # which itself needs this module

        return PackedOutputs(protocol, source)
    return _Tables(protocol, source)


class _Stored:
    """What sources of stored outputs cannot offer."""

    def inputs(self, name: str) -> np.ndarray | None:
        return None

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        return None

    def ready(self, model: Model, name: str) -> bool:
        return True

    def sample_ids(self, name: str) -> Sequence[str] | None:
        return None

    def absent(self) -> Mapping[str, str]:
        return {
            "inputs": "this benchmark's source is stored outputs, which come without the inputs",
            "model": "this benchmark's source is stored outputs, which come without the network",
        }

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        return ()


class _Folders(_Stored):
    def __init__(self, protocol: LoadedBenchmark, source: FDShiftsSource | FDShiftsStudy) -> None:
        self._paths = {model.id: protocol.locate(model.folder) for model in source.models}
        self._source = source
        self._read: Callable[[str], FDShiftsFolder] = lru_cache(maxsize=2)(
            lambda model: read_fdshifts(self._paths[model])
        )

    def artefacts(self, model: Model) -> dict[str, str]:
        if self._planned_only(model):
            return {"folder": ABSENT}
        return {path.name: file_id(path) for path in stored_files(self._paths[model.id])}

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        return tuple(model.folder for model in models if isinstance(model, GridFolder) and self._planned_only(model))

    def ready(self, model: Model, name: str) -> bool:
        return not self._planned_only(model)

    def _planned_only(self, model: Model) -> bool:
        """A study of many folders can be planned before they are there."""
        return isinstance(self._source, FDShiftsStudy) and not self._paths[model.id].is_dir()

    def samples(self, model: Model, name: str) -> SampleSet:
        folder = self._read(model.id)
        if isinstance(self._source, FDShiftsSource) and name == self._source.train:
            return self._train(folder, model)
        chosen = self._source.sets[name]
        index = chosen.dataset_idx
        if index not in folder.sets:
            present = ", ".join(map(str, sorted(folder.sets)))
            raise IntegrityError(
                f"{self._paths[model.id]}: set {name} is dataset_idx {index}, but only {present} exist"
            )
        samples = SampleSet(folder.sets[index], folder.labels[index])
        if chosen.severity is None:
            return samples
        return samples.take(rows_of_severity(len(samples.labels), chosen.severity, name))

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        return dict(self._read(model.id).last_layer)

    def _train(self, folder: FDShiftsFolder, model: Model) -> SampleSet:
        """Training rows have features and labels; logits follow from the last layer where it is stored."""
        if folder.train is None:
            raise IntegrityError(f"{self._paths[model.id]} has no train_features.npz, which the benchmark asks for")
        arrays = {"features": folder.train["features"]}
        if folder.last_layer:
            arrays["logits"] = arrays["features"] @ folder.last_layer["weight"].T + folder.last_layer["bias"]
        return SampleSet(arrays, folder.train["labels"])


class _Tables(_Stored):
    def __init__(self, protocol: LoadedBenchmark, source: TableSource) -> None:
        self._protocol = protocol
        self._artefacts = {model.id: model.table for model in source.models}
        self._source = source
        self._read: Callable[[str], OutputTable] = lru_cache(maxsize=2)(self._load)

    def artefacts(self, model: Model) -> dict[str, str]:
        path, found = self._protocol.verified(self._artefacts[model.id])
        return {path.name: found}

    def samples(self, model: Model, name: str) -> SampleSet:
        table = self._read(model.id)
        rows = rows_of(table, self._source.sets[name], self._protocol.locate(self._artefacts[model.id].path))
        return SampleSet({self._source.holds: table.values[rows]}, table.labels[rows])

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        return {}

    def _load(self, model: str) -> OutputTable:
        path = self._protocol.verified(self._artefacts[model])[0]
        table = read_table(path, self._source)
        self._keep_apart(table, path)
        return table

    def _keep_apart(self, table: OutputTable, path: Path) -> None:
        """What methods learn from must not be tested on, however the two sets are named."""
        benchmark = self._protocol.of(ConfidenceBenchmark)
        rows = {name: set(rows_of(table, chosen, path).tolist()) for name, chosen in self._source.sets.items()}
        tested = {name for study in benchmark.studies for name in study.sets}
        for reference in filter(None, (benchmark.reference.train, benchmark.reference.validation)):
            for name in sorted(tested):
                if common := len(rows[reference] & rows[name]):
                    raise UsageError(
                        f"{path}: the reference set {reference} and the tested set {name} share {common} samples."
                    )


class _Images:
    """Images from packages, run through small networks once and cached by the content of both."""

    def __init__(self, protocol: LoadedBenchmark, source: ImageSource, device: str) -> None:
        self._protocol = protocol
        self._source = source
        self._device = device
        self._weights = {model.id: model.weights for model in source.models}
        self._sets = {each.id: each for each in source.sets}
        self._labelled: Callable[[str], Any] = lru_cache(maxsize=None)(self._load_images)

    @cached_property
    def _splits(self) -> tuple[Path, str]:
        return self._protocol.verified(self._source.splits)

    def artefacts(self, model: Model) -> dict[str, str]:
        return {"weights": self._protocol.verified(self._weights[model.id])[1], "splits": self._splits[1]}

    def ready(self, model: Model, name: str) -> bool:
        return self._cached(model, name).is_file()

    def sample_ids(self, name: str) -> Sequence[str] | None:
        return [f"{self._sets[name].images}/{number}" for number in self._labelled(name).ids]

    def absent(self) -> Mapping[str, str]:
        return {}

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        return ()

    def samples(self, model: Model, name: str) -> SampleSet:
        path = self._cached(model, name)
        arrays = read_cached(path)
        if arrays is None:
            arrays = self._compute(model, name)
            make_cache(path.parent)
            write_arrays(path, arrays, compressed=False)
        labels = arrays.pop("labels")
        return SampleSet(arrays, labels)

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        _, weights = self.network(model)
        return {"weight": weights["classifier.weight"], "bias": weights["classifier.bias"]}

    def inputs(self, name: str) -> np.ndarray | None:
        from harness.tracks.confidence.networks import to_inputs

        inputs: np.ndarray = to_inputs(self._labelled(name).images).numpy()
        return inputs

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        from safetensors.numpy import load_file

        path, _ = self._protocol.verified(self._weights[model.id])
        return {"family": model.family, "classes": self._source.classes}, load_file(path)

    def _load_images(self, name: str) -> Any:
        from harness.tracks.confidence.images import load_images

        return load_images(self._sets[name], self._source, self._splits[0])

    def _compute(self, model: Model, name: str) -> dict[str, np.ndarray]:
        from harness.tracks.confidence.inference import run_model
        from harness.tracks.confidence.networks import load_network

        path, _ = self._protocol.verified(self._weights[model.id])
        network = load_network(path, model.family, self._source.classes, self._device)
        labelled = self._labelled(name)
        arrays = run_model(
            network,
            labelled.images,
            members=self._source.mc_members,
            seed=self._source.mc_seed,
            device=self._device,
        )
        return {**arrays, "labels": labelled.labels}

    def _cached(self, model: Model, name: str) -> Path:
        key = content_id(
            {
                "inference": INFERENCE_VERSION,
                "artefacts": self.artefacts(model),
                "model": model.canonical(),
                "set": self._sets[name].canonical(),
                "source": self._source.model_dump(mode="json", exclude={"models", "sets"}),
                "device": self._device,
                "libraries": numeric_libraries(),
            }
        )
        return cache_folder() / "outputs" / f"{key}.npz"


def rows_of_severity(count: int, severity: int, name: str) -> np.ndarray:
    """Positions of one severity in the order corruption, severity, image."""
    import numpy as np

    if count % (CORRUPTIONS * SEVERITIES):
        raise IntegrityError(
            f"set {name}: {count} samples are not {CORRUPTIONS} corruptions at {SEVERITIES} severities; "
            "leave out `severity` if they are laid out in another way"
        )
    return np.arange(count).reshape(CORRUPTIONS, SEVERITIES, -1)[:, severity - 1].ravel()

"""Released networks as a source: fetched checkpoints, run once over fetched images, and cached by the content of both."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark, cache_folder
from harness.data.manifests import Manifest, find_dataset
from harness.data.store import dataset_folder, reference, set_folder
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError
from harness.spec.grids import Model
from harness.spec.released import ReleasedModel, ReleasedSet, ReleasedSource
from harness.storage import IntegrityError, content_id, file_id
from harness.tracks.cache import cached_arrays, numeric_libraries
from harness.tracks.confidence.model_outputs import ABSENT, NO_CLASS, ModelOutputs, SourceDefaults, rows_of_severity
from harness.tracks.confidence.open_set import held_out_classes, kept_classes, training_configuration, without_classes

if TYPE_CHECKING:
    import numpy as np

    from harness.data.readers.base import Selection

RELEASED_VERSION = "1"
"""Part of the cache key of computed outputs: raised by any change that may change them."""
_MOST_BYTES = 1 << 36


class ReleasedOutputs(SourceDefaults):
    """See `harness.tracks.confidence.model_outputs.OutputSource`. Neither inputs nor networks are offered to methods."""

    def __init__(self, protocol: LoadedBenchmark, source: ReleasedSource, device: str, *, members: bool) -> None:
        self._protocol = protocol
        self._source = source
        self._device = device
        self._members = source.members if members else 0
        self._sets = {each.id: each for experiment in source.experiments for each in experiment.sets}
        self._homes = {each.id: experiment for experiment in source.experiments for each in experiment.sets}
        self._checkpoint: Callable[[Model], Path] = cache(self._find_checkpoint)
        self._network: Callable[[str], Any] = lru_cache(maxsize=1)(self._load_network)
        self._part: Callable[[str, str], Selection] = lru_cache(maxsize=4)(self._open_part)
        self._manifest: Callable[[str], Manifest] = cache(self._find_manifest)
        self._weights_folder: Callable[[str], Path] = cache(lambda name: set_folder(self._manifest(name)))
        self._reference: Callable[[str], str] = cache(lambda name: reference(self._manifest(name)))
        self._part_identity: Callable[[str, str], str] = cache(lambda name, part: self._manifest(name).identity(part))

    def artefacts(self, model: Model) -> dict[str, str]:
        """The checkpoint's sha256, and an id of each set: of its files as they are pinned, its reader and its part. For
        a network that was trained without some classes, also the sha256 of the configuration that names them."""
        experiment = self._source.experiment(model)
        try:
            if not self._weights_folder(experiment.weights).is_dir():  # quicker than to say so of each of its networks
                raise UsageError(ABSENT)
            files = {"weights": self._checkpoint(model)}
        except UsageError:
            found = {"weights": ABSENT}
        else:
            if experiment.open_set:
                files["configuration"] = training_configuration(files["weights"])
            found = {name: _file_id(path) if path.is_file() else ABSENT for name, path in files.items()}
        return found | {f"set {each.id}": self._identity(each) for each in experiment.sets}

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        experiments = dict.fromkeys(self._source.experiment(model).id for model in models)
        chosen = [each for each in self._source.experiments if each.id in experiments]
        missing = [model for model in models if self.artefacts(model)["weights"] == ABSENT]
        found = []
        for experiment in chosen:
            lost = sum(1 for model in missing if self._source.experiment(model).id == experiment.id)
            found += [f"{experiment.weights}: {lost} checkpoints of {experiment.id}"] if lost else []
        parts = dict.fromkeys((each.dataset, each.part) for experiment in chosen for each in experiment.sets)
        return (*found, *(f"{name}: part {part}" for name, part in parts if not self._is_here(name)))

    def ready(self, model: Model, name: str) -> bool:
        if self.artefacts(model)["weights"] == ABSENT:
            return False
        wanted = ("plain", "members") if self._offers_members(model) else ("plain",)
        return all(self._cached(model, name, kind).is_file() for kind in wanted)

    def samples(self, model: Model, name: str) -> ModelOutputs:
        arrays = self._kept(model, name, "plain")
        labels = arrays.pop("labels")
        if self._offers_members(model):
            arrays |= self._kept(model, name, "members")
        outputs = ModelOutputs(arrays, labels)
        if not self._homes[name].open_set:
            return outputs
        outputs = without_classes(outputs, self._held_out(model))
        learnt_from = name in self._homes[name].reference.sets
        return outputs.take((outputs.labels != NO_CLASS).nonzero()[0]) if learnt_from else outputs

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        network, experiment = self._network(model.id), self._source.experiment(model)
        layers = {"": network.last_layer} | (
            {"reservation_": network.reservation} if model.head == "deep-gamblers" else {}
        )
        arrays: dict[str, np.ndarray] = {
            f"{prefix}{kind}": tensor.detach().cpu().numpy()
            for prefix, layer in layers.items()
            for kind, tensor in layer._asdict().items()
        }
        if not experiment.open_set:
            return arrays
        kept = kept_classes(experiment.classes, self._held_out(model))
        return arrays | {name: arrays[name][kept] for name in ("weight", "bias")}

    def sample_ids(self, name: str) -> Sequence[str] | None:
        chosen = self._sets[name]
        samples = self._part(chosen.dataset, chosen.part)
        return [samples.ids[row] for row in _rows(chosen, len(samples))]

    def offers(self, model: Model) -> frozenset[str]:
        names = {"logits", "features", "weight", "bias"} | ({"head_confidence"} if model.head else set())
        if model.head == "deep-gamblers":
            names |= {"reservation_weight", "reservation_bias"}
        if self._offers_members(model):
            names |= {"mc_logits"} | ({"mc_head_confidence"} if model.head else set())
        return frozenset(names)

    def absent(self) -> Mapping[str, str]:
        return {
            "inputs": "the images of released networks are too many to be handed to a method",
            "model": "released networks are not handed to a method, because their images are not",
        }

    def _offers_members(self, model: Model) -> bool:
        assert isinstance(model, ReleasedModel)
        return model.dropout and self._members > 0

    def _held_out(self, model: Model) -> tuple[int, ...]:
        path = training_configuration(self._checkpoint(model))
        return held_out_classes(path, self._source.experiment(model).classes)

    def _kept(self, model: Model, name: str, kind: str) -> dict[str, np.ndarray]:
        path = self._cached(model, name, kind)
        return cached_arrays(path, lambda: self._compute(model, name, kind), _MOST_BYTES)

    def _compute(self, model: Model, name: str, kind: str) -> dict[str, np.ndarray]:
        from harness.tracks.confidence.preparation import prepare
        from harness.tracks.confidence.released_inference import InferenceJob, run_members, run_plain

        network = self._network(model.id)
        chosen, where = self._sets[name], f"{self._protocol.benchmark.name}, set {name}"
        samples, rows = self._opened(name)
        how = chosen.images or self._homes[name].images

        def read(first: int, end: int) -> np.ndarray:
            return prepare(samples.read([int(row) for row in rows[first:end]]), how, where)

        images = InferenceJob(len(rows), read, self._device, self._source.precision)
        if kind == "plain":
            return {**run_plain(network, images), "labels": samples.labels[rows]}
        return run_members(network, images, members=self._members, seed=self._source.members_seed)

    def _opened(self, name: str) -> tuple[Selection, np.ndarray]:
        """The samples of a set's part, and the positions of the set's own in them.

        Raises UsageError for a set that methods learn from and that shares samples with a tested one.
        """
        chosen = self._sets[name]
        samples = self._part(chosen.dataset, chosen.part)
        rows = _rows(chosen, len(samples))
        self._keep_apart(name, {samples.ids[row] for row in rows})
        return samples, rows

    def _keep_apart(self, name: str, ids: set[str]) -> None:
        benchmark, home = self._protocol.of(ConfidenceBenchmark), self._homes[name]
        if name not in home.reference.sets:
            return
        tested = {each for study in benchmark.compared for each in study.sets} & {each.id for each in home.sets}
        for other in sorted(tested):
            if self._sets[other].dataset == self._sets[name].dataset:
                samples = self._part(self._sets[other].dataset, self._sets[other].part)
                common = sum(samples.ids[row] in ids for row in _rows(self._sets[other], len(samples)))
                if common:
                    raise UsageError(
                        f"{self._protocol.path}: the reference set {name} and the tested set {other} share {common} "
                        "samples; choose other rows."
                    )

    def _open_part(self, dataset: str, part: str) -> Selection:
        from harness.data.readers.opening import open_part

        manifest = self._manifest(dataset)
        return open_part(manifest, part, dataset_folder(manifest))

    def _load_network(self, name: str) -> Any:
        from harness.tracks.zoo.fdshifts import build_classifier, load_released

        model = next(each for each in self._source.models if each.id == name)
        experiment = self._source.experiment(model)
        network = build_classifier(
            model.network,
            experiment.classes,
            dropout=model.dropout,
            head=model.head,
            image_size=experiment.image_size,
        )
        load_released(network, self._checkpoint(model))
        return network.to(self._device).eval()

    def _find_checkpoint(self, model: ReleasedModel) -> Path:
        """The checkpoint of a model; of several versions the one with the highest number."""
        name = self._source.experiment(model).weights
        manifest, folder = self._manifest(name), self._weights_folder(name)
        found = sorted(folder.glob(model.checkpoint), key=_by_numbers)
        if not found:
            archive = next((file.path for file in manifest.spec.files if _holds(file.into, model.checkpoint)), None)
            only = f" --file '{archive}'" if archive else ""
            raise UsageError(
                f"the checkpoint {model.checkpoint} of {model.id} is not in {folder}; run: "
                f"harness data fetch {self._reference(name)}{only}"
            )
        return found[-1]

    def _is_here(self, dataset: str) -> bool:
        try:
            dataset_folder(self._manifest(dataset))
        except UsageError:
            return False
        return True

    def _find_manifest(self, dataset: str) -> Manifest:
        own = dataset.endswith(".toml")
        return find_dataset(self._protocol.path.parent / dataset if own else dataset)

    def _identity(self, chosen: ReleasedSet) -> str:
        manifest = self._manifest(chosen.dataset)
        spec = manifest.spec
        if chosen.part not in spec.parts:
            raise UsageError(
                f"{self._protocol.path}: set {chosen.id} is the part {chosen.part!r} of {spec.id}, which has: "
                f"{', '.join(sorted(spec.parts)) or 'none'}."
            )
        return self._part_identity(chosen.dataset, chosen.part)

    def _cached(self, model: Model, name: str, kind: str) -> Path:
        artefacts, experiment = self.artefacts(model), self._source.experiment(model)
        key: dict[str, Any] = {
            "inference": RELEASED_VERSION,
            "weights": artefacts["weights"],
            "samples": artefacts[f"set {name}"],
            "model": model.canonical(),
            "classes": experiment.classes,
            "image_size": experiment.image_size,
            "set": self._sets[name].canonical(),
            "images": (self._sets[name].images or experiment.images).canonical(),
            "precision": self._source.precision,
            "kind": kind,
            "device": self._device,
            "libraries": self._libraries,
        }
        if kind == "members":
            key |= {"members": self._members, "seed": self._source.members_seed}
        return cache_folder() / "outputs" / f"{content_id(key)}.npz"

    @cached_property
    def _libraries(self) -> dict[str, str]:
        return {name: version for name, version in numeric_libraries().items() if name in ("numpy", "pillow", "torch")}


def _rows(chosen: ReleasedSet, count: int) -> np.ndarray:
    """Positions in the part of a set's samples, in their order."""
    import numpy as np

    rows = np.arange(count)
    if chosen.shuffle is not None:
        rows = np.random.default_rng(chosen.shuffle).permutation(count)
    if chosen.severity is not None:
        rows = rows[rows_of_severity(count, chosen.severity, chosen.id)]
    if chosen.rows is not None:
        first, end = chosen.rows[0], chosen.rows[-1] if len(chosen.rows) == 2 else len(rows)
        if first >= len(rows) or end > len(rows):
            raise IntegrityError(
                f"set {chosen.id}: rows {list(chosen.rows)} of the part {chosen.part} of {chosen.dataset}, which has "
                f"{len(rows)} samples: these are not the samples that the benchmark means"
            )
        rows = rows[first:end]
    if chosen.count not in (None, len(rows)):
        raise IntegrityError(
            f"set {chosen.id} has {len(rows)} samples, the benchmark says {chosen.count}: the part {chosen.part} of "
            f"{chosen.dataset} is another one"
        )
    return rows


def _holds(folder: str | None, pattern: str) -> bool:
    """Whether files of this pattern come out of an archive that is unpacked into this folder."""
    return folder is not None and pattern.startswith(f"{folder}/")


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Sort key by which version_10 comes after version_9."""
    return [(int(number or 0), text) for text, number in re.findall(r"([^\d]+)(\d*)", path.as_posix())]


def _file_id(path: Path) -> str:
    """sha256 of a file, read once while it stays as it is: checkpoints are large, and many units ask."""
    found = path.stat()
    return _hashed(os.fspath(path), found.st_size, found.st_mtime_ns)


@cache
def _hashed(path: str, size: int, changed: int) -> str:
    return file_id(path)

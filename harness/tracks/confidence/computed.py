"""Outputs of small networks on images that packages hold: computed once, and cached by the content of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark, cache_folder
from harness.data.corruptions import corrupt
from harness.data.embedded import mnist_5k, optical_digits, photo_crops
from harness.spec.grids import Model
from harness.spec.sources import ImageSet, ImageSource
from harness.storage import content_id, read_json, read_tensors
from harness.tracks.cache import cached_arrays, numeric_libraries
from harness.tracks.confidence.model_outputs import NO_CLASS, ModelOutputs, SourceDefaults

if TYPE_CHECKING:
    import numpy as np

INFERENCE_VERSION = "1"
"""Part of the cache key of computed outputs: raised by any change that may change them."""


class ComputedOutputs(SourceDefaults):
    """Images from packages, run through small networks once and cached by the content of both."""

    def __init__(self, protocol: LoadedBenchmark, source: ImageSource, device: str) -> None:
        self._protocol = protocol
        self._source = source
        self._device = device
        self._weights = {model.id: model.weights for model in source.models}
        self._sets = {each.id: each for each in source.sets}
        self._labelled: Callable[[str], LabelledImages] = lru_cache(maxsize=None)(self._load_images)

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

    def samples(self, model: Model, name: str) -> ModelOutputs:
        arrays = cached_arrays(self._cached(model, name), lambda: self._compute(model, name))
        labels = arrays.pop("labels")
        return ModelOutputs(arrays, labels)

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        _, weights = self.network(model)
        layers = {"": "classifier"} | ({"reservation_": "head.0"} if model.head == "deep-gamblers" else {})
        return {
            f"{prefix}{kind}": weights[f"{layer}.{kind}"]
            for prefix, layer in layers.items()
            for kind in ("weight", "bias")
        }

    def inputs(self, name: str) -> np.ndarray | None:
        from harness.tracks.confidence.networks import to_inputs

        inputs: np.ndarray = to_inputs(self._labelled(name).images).numpy()
        return inputs

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        path, _ = self._protocol.verified(self._weights[model.id])
        return {"family": model.family, "classes": self._source.classes}, read_tensors(path)

    def _load_images(self, name: str) -> LabelledImages:
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


@dataclass(frozen=True)
class LabelledImages:
    """images (n, 28, 28) uint8; labels (n,) int64, `NO_CLASS` for photos; ids (n,), position in the source."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def load_images(chosen: ImageSet, source: ImageSource, splits: Path) -> LabelledImages:
    """The images of one set, in the order that the benchmark fixes."""
    import numpy as np

    if chosen.images == "photos":
        images = photo_crops(chosen.count or 500, chosen.seed)
        labels = np.full(len(images), NO_CLASS)
    else:
        images, labels = mnist_5k() if chosen.images == "mnist-5k" else optical_digits()
    ids = np.arange(len(images))
    if chosen.split is not None:
        ids = np.asarray(read_json(splits)[chosen.split], dtype=np.int64)
    if chosen.classes is not None:
        ids = ids[np.isin(labels[ids], chosen.classes)]
    if chosen.count is not None:
        ids = ids[: chosen.count]
    if chosen.severity is None:
        return LabelledImages(images[ids], labels[ids], ids)
    return _corrupted(images, labels, ids, chosen, source)


def _corrupted(
    images: np.ndarray, labels: np.ndarray, ids: np.ndarray, chosen: ImageSet, source: ImageSource
) -> LabelledImages:
    """Deal the images in turn to the corruptions, by name, so that each gets as many of each class."""
    import numpy as np

    assert chosen.severity is not None
    assert chosen.per_corruption is not None
    names = sorted(source.corruptions)
    ids = ids[: chosen.per_corruption * len(names)]
    if len(ids) < chosen.per_corruption * len(names):
        raise ValueError(f"set {chosen.id}: {len(ids)} images do not give {chosen.per_corruption} to each corruption")
    corrupted = np.empty((len(ids), *images.shape[1:]), dtype=np.uint8)
    for position, name in enumerate(names):
        mine = np.arange(position, len(ids), len(names))
        strength = source.corruptions[name][chosen.severity - 1]
        corrupted[mine] = corrupt(images[ids[mine]], name, strength, chosen.seed, ids[mine])
    return LabelledImages(corrupted, labels[ids], ids)

"""Outputs of small networks on images of packages or of data sets: computed once, and cached by the content of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark, cache_folder
from harness.spec.grids import Model
from harness.spec.sources import ImageSource
from harness.storage import content_id, read_tensors
from harness.tracks.cache import cached_arrays, numeric_libraries
from harness.tracks.confidence.images import BenchmarkImages, SetImages
from harness.tracks.confidence.model_outputs import ModelOutputs, SourceDefaults

if TYPE_CHECKING:
    import numpy as np

INFERENCE_VERSION = "1"
"""Part of the cache key of computed outputs: raised by any change that may change them."""


class ComputedOutputs(SourceDefaults):
    """Images run through small networks once, and cached by the content of both: fetched data are needed only once."""

    def __init__(self, protocol: LoadedBenchmark, source: ImageSource, device: str) -> None:
        self._protocol = protocol
        self._source = source
        self._device = device
        self._weights = {model.id: model.weights for model in source.models}
        self._sets = {each.id: each for each in source.sets}
        self._images = BenchmarkImages(protocol, source)
        self._of_set: Callable[[str], SetImages] = lru_cache(maxsize=None)(
            lambda name: self._images.load(self._sets[name], self._splits[0])
        )

    @cached_property
    def _splits(self) -> tuple[Path, str]:
        path, found = self._protocol.verified(self._source.splits)
        self._images.check_splits(path)
        return path, found

    def artefacts(self, model: Model) -> dict[str, str]:
        """The sha256 of weights and splits, and an id of each part of a data set that images are chosen from."""
        return {
            "weights": self._protocol.verified(self._weights[model.id])[1],
            "splits": self._splits[1],
            **self._images.identities,
        }

    def ready(self, model: Model, name: str) -> bool:
        return self._cached(model, name).is_file()

    def sample_ids(self, name: str) -> Sequence[str] | None:
        return self._of_set(name).names

    def absent(self) -> Mapping[str, str]:
        return {}

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        """Of the data sets, what some outputs are still to be computed from."""
        unready = (each for name, each in self._sets.items() if not all(self.ready(model, name) for model in models))
        return self._images.missing(unready)

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

        inputs: np.ndarray = to_inputs(self._of_set(name).images, self._source.mean, self._source.std).numpy()
        return inputs

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        path, _ = self._protocol.verified(self._weights[model.id])
        return {"family": model.family, "classes": self._source.classes}, read_tensors(path)

    def _compute(self, model: Model, name: str) -> dict[str, np.ndarray]:
        from harness.tracks.confidence.inference import run_model
        from harness.tracks.confidence.networks import load_network, to_inputs

        images = self._of_set(name)
        path, _ = self._protocol.verified(self._weights[model.id])
        network = load_network(path, model.family, self._source.classes, self._device)
        inputs = to_inputs(images.images, self._source.mean, self._source.std)
        arrays = run_model(
            network, inputs, members=self._source.mc_members, seed=self._source.mc_seed, device=self._device
        )
        return {**arrays, "labels": images.labels}

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

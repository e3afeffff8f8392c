"""Outputs of small networks on images that packages hold: computed once, and cached by the content of both."""

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
from harness.tracks.confidence.model_outputs import LabelledOutputs, SourceDefaults

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

    def samples(self, model: Model, name: str) -> LabelledOutputs:
        arrays = cached_arrays(self._cached(model, name), lambda: self._compute(model, name))
        labels = arrays.pop("labels")
        return LabelledOutputs(arrays, labels)

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        _, weights = self.network(model)
        return {"weight": weights["classifier.weight"], "bias": weights["classifier.bias"]}

    def inputs(self, name: str) -> np.ndarray | None:
        from harness.tracks.confidence.networks import to_inputs

        inputs: np.ndarray = to_inputs(self._labelled(name).images).numpy()
        return inputs

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        path, _ = self._protocol.verified(self._weights[model.id])
        return {"family": model.family, "classes": self._source.classes}, read_tensors(path)

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

"""Where the samples and networks of an attribution benchmark come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from harness.data.catalog import LoadedBenchmark
from harness.spec.artefact import Artefact
from harness.spec.attribution import (
    ArraySet,
    ArraySource,
    BundledNetwork,
    DigitSet,
    DigitSource,
    ExplainedModel,
    OwnNetwork,
)
from harness.spec.errors import UsageError, unknown
from harness.storage import IntegrityError, read_arrays
from harness.tracks.attribution.models import BuiltNetwork, Description, build

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SampleSet:
    """inputs (n, c, *spatial) float32; targets (n,) int64, the classes that maps speak about; masks (n, 1, *spatial)
    bool where the truth is known; background (b, c, *spatial) float32 where the set has one."""

    inputs: np.ndarray
    targets: np.ndarray
    masks: np.ndarray | None = None
    background: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> SampleSet:
        """Some of the samples, with the same background."""
        masks = None if self.masks is None else self.masks[rows]
        return SampleSet(self.inputs[rows], self.targets[rows], masks, self.background)


class Source(Protocol):
    """What the track needs of a kind of source."""

    def samples(self, name: str) -> SampleSet:
        """A named set. Raises UsageError if a file is missing or is not what the benchmark says."""
        ...

    def describe(self, model: ExplainedModel) -> tuple[Description, dict[str, np.ndarray]]:
        """How to build a network, and its weights."""
        ...

    def artefacts(self, model: ExplainedModel, name: str) -> dict[str, str | None]:
        """sha256 of every file that maps of this network on this set rest on; None for a file that is not there."""
        ...


def open_source(protocol: LoadedBenchmark) -> Source:
    """The source that a benchmark names."""
    source = protocol.benchmark.source
    if isinstance(source, DigitSource):
        return _Digits(protocol, source)
    assert isinstance(source, ArraySource), "only benchmarks of explained networks have such a source"
    return _Arrays(protocol, source)


def built(source: Source, model: ExplainedModel, device: str) -> BuiltNetwork:
    """A network of the benchmark, ready to run."""
    description, weights = source.describe(model)
    return build(description, weights, device)


class _Digits:
    def __init__(self, protocol: LoadedBenchmark, source: DigitSource) -> None:
        self._protocol = protocol
        self._source = source
        self._sets = {each.id: each for each in source.sets}

    def samples(self, name: str) -> SampleSet:
        import numpy as np

        from harness.data.digits import digits

        chosen = self._sets[name]
        own = digits(chosen.modality, chosen.variant, self._indices(chosen), self._source.seed)
        at_hand = np.asarray(self._split(self._source.background))
        background = digits(chosen.modality, "plain", at_hand, self._source.seed)
        return SampleSet(own.inputs, own.targets, own.masks, background.inputs)

    def describe(self, model: ExplainedModel) -> tuple[Description, dict[str, np.ndarray]]:
        assert isinstance(model, BundledNetwork)
        return Description(family=model.family, classes=10), _weights(self._protocol, model.weights)

    def artefacts(self, model: ExplainedModel, name: str) -> dict[str, str | None]:
        assert isinstance(model, BundledNetwork)
        return {each.path: self._protocol.verified(each)[1] for each in (self._source.splits, model.weights)}

    def _indices(self, chosen: DigitSet) -> np.ndarray:
        import numpy as np

        return np.asarray(self._split(chosen.split))[: chosen.count]

    def _split(self, name: str) -> list[int]:
        if name not in self._splits:
            raise unknown(f"split in {self._source.splits.path}", name, self._splits)
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, list[int]]:
        path = self._protocol.verified(self._source.splits)[0]
        splits: dict[str, list[int]] = json.loads(path.read_text(encoding="utf-8"))
        return splits


class _Arrays:
    def __init__(self, protocol: LoadedBenchmark, source: ArraySource) -> None:
        self._protocol = protocol
        self._sets = {each.id: each for each in source.sets}

    def samples(self, name: str) -> SampleSet:
        import numpy as np

        chosen = self._sets[name]
        path = self._protocol.verified(chosen.file)[0]
        arrays = read_arrays(path)
        inputs, labels = _named(arrays, chosen.inputs, path), _named(arrays, chosen.labels, path)
        labels = labels.reshape(len(labels), -1)
        if len(labels) != len(inputs) or labels.shape[1] != 1 or labels.dtype.kind not in "iub":
            raise UsageError(
                f"{path}: {chosen.labels} must hold one whole number for each of the {len(inputs)} inputs."
            )
        if inputs.dtype.kind not in "fiub":
            raise UsageError(f"{path}: {chosen.inputs} holds {inputs.dtype}, not numbers.")
        rows = _rows(len(inputs), chosen)
        masks = _named(arrays, chosen.masks, path)[rows] if chosen.masks else None
        if masks is not None and masks.ndim == inputs.ndim - (chosen.channels != "none"):
            masks = masks[:, None]
        background = _prepared(_named(arrays, chosen.background, path), chosen) if chosen.background else None
        targets = labels[rows, 0].astype(np.int64)
        return SampleSet(_prepared(inputs[rows], chosen), targets, None if masks is None else masks > 0, background)

    def describe(self, model: ExplainedModel) -> tuple[Description, dict[str, np.ndarray]]:
        assert isinstance(model, OwnNetwork)
        source = installed = None
        if isinstance(model.factory, Artefact):
            source = self._protocol.verified(model.factory)[0].read_text(encoding="utf-8")
        else:
            installed = model.factory
        anatomy: dict[str, Any] = {
            "cam_layer": model.cam_layer,
            "blocks": model.blocks,
            "grid": model.grid,
            "representation": model.representation,
        }
        description = Description(
            source=source,
            installed=installed,
            symbol=model.symbol,
            arguments=model.arguments,
            modality=model.modality,
            architecture=model.architecture,
            anatomy=anatomy,
        )
        return description, _weights(self._protocol, model.weights) if model.weights else {}

    def artefacts(self, model: ExplainedModel, name: str) -> dict[str, str | None]:
        assert isinstance(model, OwnNetwork)
        files = (model.factory, model.weights, self._sets[name].file)
        return {each.path: self._found(each) for each in files if isinstance(each, Artefact)}

    def _found(self, artefact: Artefact) -> str | None:
        if not self._protocol.locate(artefact.path).is_file():
            return artefact.sha256
        return self._protocol.verified(artefact)[1]


def _weights(protocol: LoadedBenchmark, artefact: Artefact) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = protocol.verified(artefact)[0]
    try:
        weights: dict[str, np.ndarray] = load_file(path)
    except SafetensorError as error:
        raise IntegrityError(f"{path} is not a safetensors file: {error}") from error
    return weights


def _named(arrays: dict[str, np.ndarray], name: str, path: Any) -> np.ndarray:
    if name not in arrays:
        raise unknown(f"array in {path}", name, arrays)
    return arrays[name]


def _rows(count: int, chosen: ArraySet) -> np.ndarray:
    import numpy as np

    order = np.arange(count) if chosen.seed is None else np.random.default_rng(chosen.seed).permutation(count)
    return order[: chosen.count]


def _prepared(inputs: np.ndarray, chosen: ArraySet) -> np.ndarray:
    """(n, c, *spatial) float32, scaled and normalised."""
    import numpy as np

    scaled = inputs.astype(np.float32) / np.float32(chosen.scale)
    if chosen.channels == "last":
        scaled = np.moveaxis(scaled, -1, 1)
    elif chosen.channels == "none":
        scaled = scaled[:, None]
    over_channels = (1, -1, *[1] * (scaled.ndim - 2))
    mean = np.asarray(chosen.mean, dtype=np.float32).reshape(over_channels)
    std = np.asarray(chosen.std, dtype=np.float32).reshape(over_channels)
    if {mean.shape[1], std.shape[1]} - {1, scaled.shape[1]}:
        raise UsageError(
            f"set {chosen.id}: mean and std need one number, or one for each of {scaled.shape[1]} channels."
        )
    return np.ascontiguousarray((scaled - mean) / std)

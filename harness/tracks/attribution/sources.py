"""Where the samples and networks of an attribution benchmark come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, partial
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
from harness.storage import read_arrays, read_tensors
from harness.tracks.attribution.models import BuiltNetwork, Description, build, own_copy
from harness.tracks.user_arrays import check_numbers, named_array, normalised, whole_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn


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


class NetworkSource(Protocol):
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


def open_source(protocol: LoadedBenchmark) -> NetworkSource:
    """The source that a benchmark names."""
    source = protocol.benchmark.source
    if isinstance(source, DigitSource):
        return _Digits(protocol, source)
    assert isinstance(source, ArraySource), "only benchmarks of explained networks have such a source"
    return _Arrays(protocol, source)


def built(source: NetworkSource, model: ExplainedModel, device: str) -> BuiltNetwork:
    """A network of the benchmark, ready to run."""
    description, weights = source.describe(model)
    return build(description, weights, device)


def check_fit(built: BuiltNetwork, samples: SampleSet, where: str) -> None:
    """Raises UsageError if the network cannot run the samples, has no such classes, or lacks a part that is named."""
    import numpy as np
    import torch

    if not np.isfinite(samples.inputs).all():
        raise UsageError(f"{where}: the inputs hold NaN or infinite values.")
    parts = {"cam_layer": built.anatomy.cam_layer, "blocks": built.anatomy.blocks}
    for key, name in {**parts, "representation": built.anatomy.representation}.items():
        if name is not None and name not in dict(built.network.named_modules()):
            raise UsageError(f"{where}: {key} = {name!r} is no part of the network.")
    device = next((each.device for each in built.network.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            # Two, because a convolution takes a single image without channels for channels without images.
            logits = built.network(torch.from_numpy(samples.inputs[:2].copy()).to(device))
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{where}: the network cannot run inputs of shape {samples.inputs.shape[1:]}: {reason}"
        ) from error
    if not isinstance(logits, torch.Tensor):
        raise UsageError(
            f"{where}: the network answers with {type(logits).__name__}; let it answer with logits, alone, first in a "
            'tuple, under "logits" or in `.logits`.'
        )
    if logits.ndim != 2 or len(logits) != len(samples.inputs[:2]):
        raise UsageError(
            f"{where}: the network answers with shape {tuple(logits.shape)}, not with logits (n, classes)."
        )
    if not bool(torch.isfinite(logits).all()):
        raise UsageError(f"{where}: the network answers with NaN or infinite logits.")
    low, high = int(samples.targets.min()), int(samples.targets.max())
    if low < 0 or high >= logits.shape[1]:
        raise UsageError(
            f"{where}: labels run from {low} to {high}, but the network's {logits.shape[1]} classes are numbered 0 to "
            f"{logits.shape[1] - 1}."
        )
    if problem := _unfit_answers(built.network, torch.from_numpy(samples.inputs[:2]).to(device), logits):
        raise UsageError(f"{where}: {problem}")
    own_copy(built.network)  # as each call of a method gets one


def _unfit_answers(network: nn.Module, inputs: Tensor, logits: Tensor) -> str:
    """Why a network's answers cannot be explained or scored; nothing if they can."""
    import torch

    before = {name: value.clone() for name, value in network.named_buffers()}
    near = partial(torch.allclose, rtol=1e-3, atol=1e-3 * max(1e-3, float(logits.abs().max())))
    try:
        again = network(inputs.clone()).detach()
        alone = torch.cat([network(one[None].clone()).detach() for one in inputs])
    except Exception as error:  # whatever a user's network raises
        return f"the network cannot run a single input: {' '.join(str(error).split())[:300]}"
    if changed := next((name for name, value in network.named_buffers() if not value.equal(before[name])), ""):
        return f"the network changes its buffer {changed} whenever it runs; in evaluation mode it must leave it alone."
    if alone.shape != logits.shape:
        return f"the network answers a single input with shape {tuple(alone.shape)}, not with logits (1, classes)."
    if not near(again, logits):
        return (
            "the network answers the same inputs differently each time; in evaluation mode it must not draw at random "
            "(`F.dropout` needs `training=self.training`)."
        )
    if not near(alone, logits):
        return (
            "what the network says of an input depends on the others in its batch; in evaluation mode each must be "
            "answered by itself (as `nn.BatchNorm2d` does with running statistics)."
        )
    sums = logits.double().sum(dim=1), logits.double().logsumexp(dim=1).exp()
    ones = [bool((each - 1).abs().max() < 1e-4) for each in sums]
    if logits.shape[1] > 1 and ((ones[0] and bool((logits >= 0).all())) or ones[1]):
        return "the network ends in a soft-max or its logarithm; let it answer with logits, which come before that."
    return ""


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
        return Description(family=model.family, classes=10), read_tensors(self._protocol.verified(model.weights)[0])

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
        chosen = self._sets[name]
        path = self._protocol.verified(chosen.file)[0]
        arrays = read_arrays(path)
        inputs = named_array(arrays, chosen.inputs, path)
        labels = whole_labels(named_array(arrays, chosen.labels, path), len(inputs), str(path))
        check_numbers(inputs, str(path))
        rows = _rows(len(inputs), chosen.count, chosen)
        masks = _masks(named_array(arrays, chosen.masks, path), inputs, chosen, path)[rows] if chosen.masks else None
        own = normalised(inputs[rows], chosen)
        background = None
        if chosen.background:
            at_hand = _background(named_array(arrays, chosen.background, path), inputs, path)
            background = normalised(at_hand[_rows(len(at_hand), chosen.background_count, chosen)], chosen)
        return SampleSet(own, labels[rows], masks, background)

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
        return description, read_tensors(self._protocol.verified(model.weights)[0]) if model.weights else {}

    def artefacts(self, model: ExplainedModel, name: str) -> dict[str, str | None]:
        assert isinstance(model, OwnNetwork)
        files = (model.factory, model.weights, self._sets[name].file)
        return {each.path: self._found(each) for each in files if isinstance(each, Artefact)}

    def _found(self, artefact: Artefact) -> str | None:
        if not self._protocol.locate(artefact.path).is_file():
            return artefact.sha256
        return self._protocol.verified(artefact)[1]


def _masks(array: np.ndarray, inputs: np.ndarray, chosen: ArraySet, path: Path) -> np.ndarray:
    """(n, 1, *spatial) bool of masks with or without channels. Raises UsageError unless each input has a mask."""
    check_numbers(array, str(path), "the masks")
    if len(array) != len(inputs):
        raise UsageError(f"{path}: there are {len(array)} masks for {len(inputs)} inputs; each input needs one.")
    without_channels = array.ndim == inputs.ndim - (chosen.channels != "none")
    return (array[:, None] if without_channels else array) > 0


def _background(array: np.ndarray, inputs: np.ndarray, path: Path) -> np.ndarray:
    """The background set as stored. Raises UsageError unless it holds inputs such as those of the samples."""
    check_numbers(array, str(path), "the background inputs")
    if not len(array) or array.shape[1:] != inputs.shape[1:]:
        raise UsageError(
            f"{path}: the background set has shape {array.shape}; it must hold at least one input of shape "
            f"{inputs.shape[1:]}, as the samples have."
        )
    return array


def _rows(stored: int, wanted: int | None, chosen: ArraySet) -> np.ndarray:
    """Which of so many stored samples are taken, in the order of the set; all where it wants more."""
    import numpy as np

    order = np.arange(stored) if chosen.seed is None else np.random.default_rng(chosen.seed).permutation(stored)
    return order[:wanted]

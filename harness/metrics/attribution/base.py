"""What every attribution metric is: an object with an id, a direction, constants, and one way to be called."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from harness.metrics.attribution.forwards import Forwards

Criterion = Literal["faithfulness", "robustness", "complexity", "localisation", "randomisation"]
Direction = Literal["higher", "lower"]
Reading = Literal["corrected", "latec"]
Need = Literal["explain", "masks"]
Baseline = Literal["black", "zero", "mean", "uniform"]
"""What stands in for what is removed: the sample's smallest number, 0, the mean, or a random colour."""


class Explain(Protocol):
    """Asks the method for maps of other inputs, or of the same inputs under another model."""

    def __call__(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        """Maps (n, 1 or c, *spatial) of inputs (n, c, *spatial); without `model`, of the model that is explained."""
        ...


@dataclass(frozen=True, kw_only=True)
class AttributionMetric(ABC):
    """A metric with its constants, which are the fields of the dataclass.

    range: lowest and highest possible score. needs: what a call must be given beside the maps.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    criterion: ClassVar[Criterion]
    direction: ClassVar[Direction]
    version: ClassVar[str] = "1"
    range: ClassVar[tuple[float, float]]
    citation: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __call__(
        self,
        model: nn.Module | Forwards,
        inputs: Tensor,
        targets: Tensor,
        maps: Tensor,
        *,
        explain: Explain | None = None,
        masks: Tensor | None = None,
        generator: torch.Generator,
    ) -> Tensor:
        """Score of each sample, (n,) float64 on the CPU; NaN where the metric has no meaning for a sample.

        model: maps inputs (n, c, *spatial) to logits (n, classes), in evaluation mode; or the `Forwards` that
            runs it, which remembers what does not depend on the maps.
        inputs (n, c, *spatial) float; targets (n,) whole: the class that each map speaks about.
        maps (n, 1 or c, *spatial): attribution, higher = speaks more for the target.
        explain: for metrics that ask the method again. masks (n, 1, *spatial): where the truth lies.
        generator: only its seed counts. Every sample draws from a stream of its own, made from that seed and
            the sample's content, so that neither the batch nor its order changes a score.

        Raises ValueError for a model in training mode, targets out of range, and maps that do not fit the inputs
        or are not finite.
        """
        import torch

        from harness.metrics.attribution.forwards import Forwards

        forwards = Forwards.of(model)
        samples = Samples(inputs, targets, maps, generator.initial_seed(), explain=explain, masks=masks)
        if not len(samples):
            return torch.empty(0, dtype=torch.float64)
        self._check(forwards, samples)
        return self._score(forwards, samples)

    @abstractmethod
    def _score(self, forwards: Forwards, samples: Samples) -> Tensor: ...

    @property
    def constants(self) -> dict[str, Any]:
        """The fields: all that two scores of one version may differ in."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _check(self, forwards: Forwards, samples: Samples) -> None:
        import torch

        if any(module.training for module in forwards.model.modules()):
            raise ValueError("the model, or a part of it, is in training mode; call model.eval() first.")
        inputs, targets, maps = samples.inputs, samples.targets, samples.maps
        if targets.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
            raise ValueError(f"targets have dtype {targets.dtype}; they are whole numbers, such as int64.")
        if not inputs.is_floating_point() or not bool(torch.isfinite(inputs).all()):
            raise ValueError("inputs must be floating-point numbers, none of them NaN or infinite.")
        if inputs.ndim < 3 or targets.shape != inputs.shape[:1]:
            raise ValueError(f"inputs (n, c, *spatial) and targets (n,) do not fit: {inputs.shape}, {targets.shape}.")
        fitting = dict.fromkeys((tuple(inputs.shape), (len(inputs), 1, *inputs.shape[2:])))
        if tuple(maps.shape) not in fitting:
            raise ValueError(f"maps have shape {tuple(maps.shape)}, expected {' or '.join(map(str, fitting))}.")
        if not bool(torch.isfinite(maps).all()):
            raise ValueError("maps hold NaN or infinite values.")
        classes = forwards.base(samples).shape[1]
        if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < classes):
            raise ValueError(f"targets must lie between 0 and {classes - 1}.")
        for need in sorted(self.needs):
            if getattr(samples, need) is None:
                raise ValueError(f"{self.id} needs {need}=.")


@dataclass(frozen=True)
class Samples:
    """What a metric looks at. Tensors as in `AttributionMetric.__call__`, on the CPU; maps in float64.

    A map that is zero everywhere says as little as one that is constant, and is treated as such: it becomes ones.
    """

    inputs: Tensor
    targets: Tensor
    raw_maps: Tensor
    seed: int
    explain: Explain | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def maps(self) -> Tensor:
        """(n, 1 or c, *spatial) float64, without zero maps."""
        return without_zero_maps(self.raw_maps)

    @cached_property
    def positions(self) -> Tensor:
        """(n, p): attribution of each pixel, voxel or point, the mean over channels, largest |value| 1."""
        return normalised(self.maps.mean(dim=1).flatten(1))

    @cached_property
    def elements(self) -> Tensor:
        """(n, c * p): attribution of each number of the input, a single channel repeated, largest |value| 1."""
        return normalised(self.maps.expand(self.inputs.shape).flatten(1))

    def scores(self, reading: Reading) -> Tensor:
        """What is ranked: positions whose channels go together; each number by itself in LATEC's reading."""
        return self.elements if reading == "latec" else self.positions

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """A generator for each sample, from the seed, the purpose and the sample's content."""
        import numpy as np

        prefix = f"{self.seed}/{purpose}/".encode()
        return [
            np.random.default_rng(int.from_bytes(hashlib.sha256(prefix + digest).digest()[:16], "big"))
            for digest in self.digests
        ]

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """Hash of each sample's input and target."""
        rows = zip(self.inputs.detach().cpu().numpy(), self.targets.tolist(), strict=True)
        return tuple(hashlib.sha256(row.tobytes() + str(target).encode()).digest() for row, target in rows)


def without_zero_maps(maps: Tensor) -> Tensor:
    """float64 on the CPU; maps that are zero everywhere become ones."""
    import torch

    maps = maps.detach().cpu().to(torch.float64)
    zero = (maps == 0).flatten(1).all(dim=1)
    return torch.where(zero.view(-1, *[1] * (maps.ndim - 1)), torch.ones_like(maps), maps)


def normalised(maps: Tensor) -> Tensor:
    """Each row divided by its largest |value|; a row that is zero everywhere (opposite channels) becomes ones."""
    import torch

    flat = maps.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)
    scaled = torch.where(largest > 0, flat / largest.clamp_min(torch.finfo(flat.dtype).tiny), torch.ones_like(flat))
    return scaled.view_as(maps)


def require(condition: bool, sentence: str) -> None:
    """Raises ValueError with the sentence, to which the full stop is added, unless the condition holds."""
    if not condition:
        raise ValueError(f"{sentence}.")

"""What every attribution metric is: an object with an id, a direction, constants, and one way to be called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.metrics.attribution.latec_constants import latec_constants
from harness.metrics.attribution.map_batch import Explain, MapBatch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.metrics.attribution.forwards import Forwards

Criterion = Literal["faithfulness", "robustness", "complexity", "localisation", "randomisation"]
Direction = Literal["higher", "lower"]
Need = Literal["explain", "masks"]
Baseline = Literal["black", "zero", "mean", "uniform"]
"""What stands in for what is removed: the sample's smallest number, 0, the mean, or a random colour."""

_OF_MAPS_ALONE: frozenset[Criterion] = frozenset({"complexity", "localisation"})  # their metrics do not run the model


@dataclass(frozen=True, kw_only=True)
class MapMetric(ABC):
    """A metric with its constants, which are the fields of the dataclass.

    range: lowest and highest possible score. needs: what a call must be given beside the maps. by_modality: constants
    that are LATEC's for the modality of the inputs; until a call they are those for images.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    criterion: ClassVar[Criterion]
    direction: ClassVar[Direction]
    version: ClassVar[str] = "1"
    range: ClassVar[tuple[float, float]]
    citation: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()

    by_modality: frozenset[str] = frozenset()

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

        Raises ValueError for a model in training mode, targets out of range (too large ones only where the metric runs
        the model), and maps that do not fit the inputs or are not finite.
        """
        import torch

        from harness.metrics.attribution.forwards import Forwards

        forwards = Forwards.of(model)
        samples = MapBatch(inputs, targets, maps, generator.initial_seed(), explain=explain, masks=masks)
        if not len(samples):
            return torch.empty(0, dtype=torch.float64)
        self._check(forwards, samples)
        return self._suited(inputs.ndim - 2)._score(forwards, samples)

    @abstractmethod
    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor: ...

    @classmethod
    def names_of_constants(cls) -> tuple[str, ...]:
        return tuple(each.name for each in fields(cls) if each.name != "by_modality")

    @property
    def constants(self) -> dict[str, Any]:
        """The constants by name: all in which two scores of one version may differ."""
        return {name: getattr(self, name) for name in self.names_of_constants()}

    def _suited(self, dimensions: int) -> MapMetric:
        """With the constants for inputs of so many dimensions in space."""
        if not self.by_modality:
            return self
        constants = latec_constants(self.id, dimensions)
        return replace(self, by_modality=frozenset(), **{name: constants[name] for name in self.by_modality})

    def _check(self, forwards: Forwards, samples: MapBatch) -> None:
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
        if int(targets.min()) < 0:
            raise ValueError("targets must not be negative.")
        if self.criterion not in _OF_MAPS_ALONE and int(targets.max()) >= (classes := forwards.base(samples).shape[1]):
            raise ValueError(f"targets must lie between 0 and {classes - 1}.")
        for need in sorted(self.needs):
            if getattr(samples, need) is None:
                raise ValueError(f"{self.id} needs {need}=.")


def require(condition: bool, sentence: str) -> None:
    """Raises ValueError with the sentence, to which the full stop is added, unless the condition holds."""
    if not condition:
        raise ValueError(f"{sentence}.")


def check_patch(patch: int, samples: MapBatch) -> None:
    """Raises ValueError for a patch that is wider than the inputs."""
    narrowest = min(samples.inputs.shape[2:])
    require(patch <= narrowest, f"a patch of width {patch} does not fit into inputs of width {narrowest}")

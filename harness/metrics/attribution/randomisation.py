"""Randomisation: a map that speaks about what a model has learnt must change when the model forgets it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.metrics.attribution.base import MapMetric, require
from harness.metrics.attribution.explanations import AT_ONCE, explained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.metrics.attribution.forwards import Forwards
    from harness.metrics.attribution.map_batch import MapBatch


@dataclass(frozen=True, kw_only=True)
class ParameterRandomisation(MapMetric):
    r"""Likeness of the map and the maps of models whose parameters are randomised from the last layer down (MPRT).

    $$ \frac{1}{S} \sum_{s=1}^{S} \left| \mathrm{spearman}(a, a_s) \right| $$

    $a_s$: the map of the model of stage $s$ of $S$.

    Mean, over the stages of the cascade, of the |Spearman correlation| by position (channels averaged). Lower is
    better; in [0, 1]. A map that is constant before and after, and so never changes, counts 1; one that is constant
    only before or only after 0. Adebayo et al. 2018. Noise in a map lowers its correlation with any other: the score
    flatters noisy maps (Hedström et al. 2023, "Sanity Checks Revisited"); read it beside the robustness metrics.

    Each layer's parameters are drawn anew from normal distributions with the mean and the standard deviation of each
    trained tensor, and stay so in later stages; running statistics stay as trained. The seed of the call decides, not
    the method nor the sample: all see the same models.

    stages: at most as many models; of more layers several are randomised together.
    """

    id = "parameter_randomisation"
    title = "Model parameter randomisation"
    criterion = "randomisation"
    direction = "lower"
    range = (0.0, 1.0)
    citation = "Adebayo et al. 2018, Sanity Checks for Saliency Maps"
    needs = frozenset({"explain"})

    stages: int = 8

    def __post_init__(self) -> None:
        require(self.stages >= 1, f"stages must be at least 1, not {self.stages}")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        models = cascade(forwards.model, samples.inputs[:1].to(forwards.device), self.stages, samples.seed)
        return torch.stack([_likeness(samples.positions, _positions(samples, model)) for model in models]).mean(dim=0)


def cascade(model: nn.Module, example: Tensor, stages: int, seed: int) -> Iterator[nn.Module]:
    """Copies of the model, each with more randomised layers than the one before; in the last all are."""
    import torch

    names = _last_to_first(model, example)
    require(bool(names), "the model has no parameters to randomise")
    generator = torch.Generator().manual_seed(seed)
    stages = min(stages, len(names))
    for stage in range(stages):
        model = copy.deepcopy(model)
        for name in names[stage * len(names) // stages : (stage + 1) * len(names) // stages]:
            _randomise(model.get_submodule(name), generator)
        yield model


def _last_to_first(model: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules with parameters of their own, latest called first.

    A module that is never called itself, but whose parameters another uses, goes with the one that holds it.
    """
    import torch

    calls: dict[nn.Module, int] = {}

    def note(module: nn.Module, given: Any) -> None:
        calls.setdefault(module, len(calls))

    modules = dict(model.named_modules())
    handles = [module.register_forward_pre_hook(note) for module in modules.values()]
    try:
        with torch.inference_mode():
            model(example)
    finally:
        for handle in handles:
            handle.remove()

    def called(name: str) -> int:
        while modules[name] not in calls:
            name = name.rpartition(".")[0]
        return calls[modules[name]]

    own = [name for name, module in modules.items() if any(True for _ in module.parameters(recurse=False))]
    return sorted(own, key=called, reverse=True)


def _randomise(module: nn.Module, generator: Any) -> None:
    import torch

    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            trained = parameter.detach().to("cpu", torch.float64)
            drawn = torch.randn(trained.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(trained.mean() + trained.std(correction=0) * drawn)


def _positions(samples: MapBatch, model: nn.Module) -> Tensor:
    """The method's maps (n, p) of the samples under another model."""
    import torch

    parts = [
        explained(samples, inputs, targets, model=model).positions
        for inputs, targets in zip(samples.inputs.split(AT_ONCE), samples.targets.split(AT_ONCE), strict=True)
    ]
    return torch.cat(parts)


def _likeness(own: Tensor, other: Tensor) -> Tensor:
    """|Spearman correlation| of each row; 1 where both are constant."""
    from harness.metrics.attribution._correlation import spearman

    constant = (own == own[:, :1]).all(dim=1) & (other == other[:, :1]).all(dim=1)
    likeness: Tensor = spearman(own, other).abs().masked_fill(constant, 1.0)
    return likeness

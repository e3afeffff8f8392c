"""Small networks, samples and methods of each modality, in double precision so that sums may be taken in any order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.metrics.attribution.base import MapMetric
from harness.metrics.attribution.map_batch import Explain

torch.set_num_threads(1)
CLASSES = 3


@dataclass(frozen=True)
class World:
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    maps: Tensor
    masks: Tensor
    explain: Explain

    def score(self, metric: MapMetric, rows: Any = slice(None), **changed: Any) -> Tensor:
        given = {"explain": self.explain, "masks": self.masks[rows], "generator": torch.Generator().manual_seed(7)}
        maps = changed.pop("maps", self.maps)[rows]
        return metric(
            changed.pop("model", self.model), self.inputs[rows], self.targets[rows], maps, **{**given, **changed}
        )


def assert_independent(metric: MapMetric, world: World) -> None:
    """A score depends on neither the other samples nor their number nor their order."""
    whole = world.score(metric)
    assert whole.shape == (len(world.inputs),)
    assert whole.dtype == torch.float64
    alone = torch.cat([world.score(metric, slice(row, row + 1)) for row in range(len(whole))])
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(alone, whole, rtol=1e-6, atol=1e-9, equal_nan=True)
    torch.testing.assert_close(world.score(metric, order), whole[order], rtol=1e-6, atol=1e-9, equal_nan=True)
    assert bool((whole[~whole.isnan()] >= metric.range[0]).all())
    assert bool((whole[~whole.isnan()] <= metric.range[1]).all())


class Gradient:
    """An `Explain`: the gradient of the target's logit, times the input if asked. Keeps what it was asked."""

    def __init__(self, model: nn.Module, *, times_input: bool = False) -> None:
        self.model, self.times_input = model, times_input
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.models: list[nn.Module | None] = []

    def __call__(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        self.models.append(model)
        inputs = inputs.detach().clone().requires_grad_()
        logits = (model or self.model)(inputs)
        (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), inputs)
        maps = (gradient * inputs if self.times_input else gradient).detach()
        self.calls.append((inputs.detach(), maps))
        return maps

    @property
    def inputs(self) -> Tensor:
        return torch.cat([inputs for inputs, _ in self.calls])

    @property
    def maps(self) -> Tensor:
        return torch.cat([maps for _, maps in self.calls])


def world(modality: str, samples: int = 5, dtype: torch.dtype = torch.float64) -> World:
    torch.manual_seed(0)
    shape, model = {
        "image": ((2, 8, 8), _network(nn.Conv2d, nn.AdaptiveAvgPool2d, 2, 2)),
        "volume": ((1, 6, 6, 6), _network(nn.Conv3d, nn.AdaptiveAvgPool3d, 3, 1)),
        "cloud": ((3, 17), _network(nn.Conv1d, nn.AdaptiveAvgPool1d, 1, 3)),
    }[modality]
    model = model.to(dtype).eval()
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(samples, *shape, generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)
    targets = torch.randint(CLASSES, (samples,), generator=generator)
    masks = torch.rand(samples, 1, *shape[1:], generator=generator) < 0.3
    explain = Gradient(model)
    return World(model, inputs, targets, explain(inputs, targets), masks, explain)


def linear(channels: int = 2, width: int = 4, classes: int = CLASSES) -> tuple[nn.Module, Tensor]:
    """A linear model of images, and its weights (classes, channels, width, width)."""
    torch.manual_seed(0)
    layer = nn.Linear(channels * width * width, classes, dtype=torch.float64)
    return nn.Sequential(nn.Flatten(), layer).eval(), layer.weight.detach().view(classes, channels, width, width)


def _network(convolution: Any, pool: Any, dims: int, channels: int) -> nn.Module:
    size = 1 if dims == 1 else 3
    return nn.Sequential(
        convolution(channels, 6, size, padding=size // 2),
        nn.Softplus(),
        convolution(6, 8, size, padding=size // 2),
        nn.ReLU(),
        pool(2),
        nn.Flatten(),
        nn.Linear(8 * 2**dims, CLASSES),
    )


def weights_id(model):
    """Hash of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()

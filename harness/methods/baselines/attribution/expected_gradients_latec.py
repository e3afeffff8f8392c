"""Expected gradients as LATEC computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches, one_by_one
from harness.methods.baselines.attribution._gradients import input_gradients
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from harness.methods.context import Context

SAMPLES, NOISE = 40, 0.001  # of LATEC


@dataclass(frozen=True)
class Draws:
    """Of one sample: rows of the background set (k,), places on the way in [0, 1) (k,), noise (k, c, *spatial)."""

    rows: Tensor
    places: Tensor
    noise: Tensor


@explainer(version="1.0", stochastic=True, citation="Klein et al., NeurIPS 2024")
def expected_gradients_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: a draw counts only where it speaks for the class, so that draws never cancel each other."""
    background = context.background

    def explain(one: Tensor, target: Tensor) -> Tensor:
        return mean_of_positive(model, one, target, background, _drawn(one, len(background), context.generator))

    return one_by_one(explain, inputs, targets)


def mean_of_positive(model: nn.Module, one: Tensor, target: Tensor, background: Tensor, draws: Draws) -> Tensor:
    """(1, c, *spatial) of one input (1, c, *spatial): the mean over draws of max(0, difference * gradient)."""
    ends, starts = one + draws.noise, background[draws.rows]
    places = draws.places.view(-1, *[1] * (one.ndim - 1))
    between = places * ends + (1 - places) * starts
    gradients = in_batches(
        lambda some, classes: input_gradients(model, some, classes), between, target.expand(len(ends))
    )
    return ((ends - starts) * gradients).relu().mean(dim=0, keepdim=True)


def _drawn(one: Tensor, rows: int, generator: Generator) -> Draws:
    import torch

    noise = NOISE * torch.randn((SAMPLES, *one.shape[1:]), generator=generator, dtype=one.dtype)
    places = torch.rand(SAMPLES, generator=generator, dtype=one.dtype)
    picked = torch.randint(rows, (SAMPLES,), generator=generator)
    return Draws(picked.to(one.device), places.to(one.device), noise.to(one.device))

"""Integrated gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import at_once, in_batches
from harness.methods.baselines.attribution._folded import folded
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

STEPS = {"image": 30, "volume": 30, "point-cloud": 16}  # of LATEC


@explainer(version="1.0", citation="Sundararajan et al., ICML 2017")
def integrated_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Input times the mean gradient on the straight way from an input of 0 (Gauss-Legendre quadrature)."""
    import numpy as np
    import torch

    from harness.methods.baselines.attribution._gradients import input_gradients

    network, steps, size = folded(model, inputs), STEPS[context.modality], at_once(inputs)
    places, shares = (torch.from_numpy(each).to(inputs) / 2 for each in np.polynomial.legendre.leggauss(steps))
    places, shares = (places + 0.5).view(-1, *[1] * (inputs.ndim - 1)), shares.view(-1, 1)

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        along, of = (some[:, None] * places).flatten(0, 1), classes.repeat_interleave(steps)
        gradients = in_batches(lambda x, y: input_gradients(network, x, y), along, of, size)
        return some * (gradients.reshape(len(some), steps, -1) * shares).sum(dim=1).view_as(some)

    return in_batches(explain, inputs, targets, max(1, size // steps))

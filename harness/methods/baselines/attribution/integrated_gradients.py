"""Integrated gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import at_once, in_batches
from harness.methods.baselines.attribution._captum import captum
from harness.methods.baselines.attribution._folded import folded
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

STEPS = {"image": 30, "volume": 30, "point-cloud": 16}  # of LATEC


@explainer(version="1.0", citation="Sundararajan et al., ICML 2017")
def integrated_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Input times the mean gradient on the straight way from an input of 0 (Gauss-Legendre quadrature)."""
    network, steps, size = folded(model, inputs), STEPS[context.modality], at_once(inputs)

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.IntegratedGradients(network).attribute(
                some, target=classes, n_steps=steps, internal_batch_size=size
            )
        return maps

    return in_batches(explain, inputs, targets, max(1, size // steps))

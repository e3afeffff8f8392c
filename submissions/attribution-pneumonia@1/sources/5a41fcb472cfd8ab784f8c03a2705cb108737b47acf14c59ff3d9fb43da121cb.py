"""Grad-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.baselines.attribution._cam import activations_and_gradients, weighted_activations
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", modalities=("image", "volume"), citation="Selvaraju et al., ICCV 2017")
def grad_cam(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Activations weighted by the mean gradient of their channel, where the sum is positive."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        activations, gradients = activations_and_gradients(model, some, classes, context)
        return weighted_activations(gradients.flatten(2).mean(dim=2), activations, some)

    return in_batches(explain, inputs, targets)

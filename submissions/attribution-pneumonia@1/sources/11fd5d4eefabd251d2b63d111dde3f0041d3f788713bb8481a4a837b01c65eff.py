"""Grad-CAM++."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.baselines.attribution._cam import activations_and_gradients, weighted_activations
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", modalities=("image", "volume"), citation="Chattopadhay et al., WACV 2018")
def grad_cam_plus_plus(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Grad-CAM whose positive gradients are weighted by how much each place adds to the logit."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        import torch

        activations, gradients = activations_and_gradients(model, some, classes, context)
        values, slopes = activations.flatten(2), gradients.flatten(2)
        # LATEC sums activations of volumes over two of the three axes; the derivation sums over all places.
        curvature = 2 * slopes**2 + values.sum(dim=2, keepdim=True) * slopes**3 + 1e-6
        shares = torch.where(slopes == 0, 0.0, slopes**2 / curvature)
        return weighted_activations((slopes.relu() * shares).sum(dim=2), activations, some)

    return in_batches(explain, inputs, targets)

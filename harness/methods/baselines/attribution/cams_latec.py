"""Class activation maps as LATEC computes them, where it enlarges by nearest neighbour what papers interpolate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import AT_ONCE, in_batches, one_by_one
from harness.methods.baselines.attribution._cam import LATEC_EPSILON, activations_and_gradients, weighted_activations
from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.baselines.attribution._maps import enlarged, to_unit_range
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", modalities=("image", "volume"), citation="Klein et al., NeurIPS 2024")
def grad_cam_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading of Grad-CAM: maps of volumes are enlarged by nearest neighbour."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        activations, gradients = activations_and_gradients(model, some, classes, context)
        return weighted_activations(gradients.flatten(2).mean(dim=2), activations, some, latec=True)

    return in_batches(explain, inputs, targets)


@explainer(version="1.0", modalities=("image", "volume"), citation="Klein et al., NeurIPS 2024")
def grad_cam_plus_plus_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading of Grad-CAM++: in volumes it sums activations over two axes, and enlarges by nearest neighbour."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        import torch

        values, slopes = activations_and_gradients(model, some, classes, context)
        curvature = 2 * slopes**2 + values.sum(dim=(2, 3), keepdim=True) * slopes**3 + 1e-6
        shares = torch.where(slopes == 0, 0.0, slopes**2 / curvature)
        return weighted_activations((slopes.relu() * shares).flatten(2).sum(dim=2), values, some, latec=True)

    return in_batches(explain, inputs, targets)


@explainer(version="1.0", modalities=("image", "volume"), citation="Klein et al., NeurIPS 2024")
def score_cam_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading of Score-CAM: masks, and maps of volumes, are enlarged by nearest neighbour."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        import torch

        activations, _ = activations_and_gradients(model, one, target, context)
        masks = enlarged(activations, tuple(one.shape[2:]), nearest=True).transpose(0, 1)
        masks = to_unit_range(masks, LATEC_EPSILON)
        with torch.no_grad():
            logits = [target_logits(model(one * some), target.expand(len(some))) for some in masks.split(AT_ONCE)]
        return weighted_activations(torch.cat(logits).softmax(dim=0)[None], activations, one, latec=True)

    return one_by_one(explain, inputs, targets)

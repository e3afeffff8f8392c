"""Score-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import AT_ONCE, one_by_one
from harness.methods.baselines.attribution._cam import activations_and_gradients, weighted_activations
from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.baselines.attribution._maps import enlarged, to_unit_range
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", modalities=("image", "volume"), citation="Wang et al., CVPR workshops 2020")
def score_cam(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Activations weighted by the soft-max of the logits that remain when each channel masks the input."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        import torch

        activations, _ = activations_and_gradients(model, one, target, context)
        masks = to_unit_range(enlarged(activations, tuple(one.shape[2:])).transpose(0, 1))
        with torch.no_grad():
            logits = [target_logits(model(one * some), target.expand(len(some))) for some in masks.split(AT_ONCE)]
        return weighted_activations(torch.cat(logits).softmax(dim=0)[None], activations, one)

    return one_by_one(explain, inputs, targets)

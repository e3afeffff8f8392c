"""Saliency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", citation="Simonyan et al., ICLR workshops 2014")
def saliency(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Magnitude of the gradient of the logit."""

    from harness.methods.baselines.attribution._gradients import input_gradients

    return in_batches(lambda some, classes: input_gradients(model, some, classes).abs(), inputs, targets)

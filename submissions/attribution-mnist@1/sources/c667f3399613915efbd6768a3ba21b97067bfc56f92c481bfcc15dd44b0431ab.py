"""Guided backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", citation="Springenberg et al., ICLR workshops 2015")
def guided_backprop(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the logit, of which every `nn.ReLU` lets only positive parts pass back."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.GuidedBackprop(model).attribute(some, target=classes)
        return maps

    return in_batches(explain, inputs, targets)

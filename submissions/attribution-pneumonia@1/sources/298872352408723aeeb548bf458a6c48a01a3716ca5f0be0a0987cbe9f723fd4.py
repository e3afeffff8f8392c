"""Input times gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", citation="Shrikumar et al., 2016")
def input_x_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the logit times the input."""

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.InputXGradient(model).attribute(some, target=classes)
        return maps

    return in_batches(explain, inputs, targets)

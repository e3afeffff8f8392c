"""Input times gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", citation="Shrikumar et al., 2016")
def input_x_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the logit times the input."""

    from harness.methods.baselines.attribution._gradients import input_gradients

    return in_batches(lambda some, classes: some * input_gradients(model, some, classes), inputs, targets)

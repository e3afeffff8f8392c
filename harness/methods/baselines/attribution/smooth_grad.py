"""SmoothGrad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.baselines.attribution._folded import folded
from harness.methods.baselines.attribution._gradients import noisy_gradients
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", stochastic=True, citation="Smilkov et al., 2017")
def smooth_grad(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Mean gradient of the logit at noisy copies of the input."""
    network = folded(model, inputs)

    def explain(one: Tensor, target: Tensor) -> Tensor:
        return noisy_gradients(network, one, target, context).mean(dim=0, keepdim=True)

    return one_by_one(explain, inputs, targets)

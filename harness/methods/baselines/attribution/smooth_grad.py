"""SmoothGrad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._gradients import noisy_gradients
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", stochastic=True, citation="Smilkov et al., 2017")
def smooth_grad(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Mean gradient of the logit at noisy copies of the input."""

    from harness.methods.baselines.attribution._lean import in_lean_batches

    def explain(lean: nn.Module, one: Tensor, target: Tensor) -> Tensor:
        return noisy_gradients(lean, one, target, context).mean(dim=0, keepdim=True)

    return in_lean_batches(explain, model, inputs, targets, 1)

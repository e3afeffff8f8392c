"""DeepLIFT SHAP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

BACKGROUND = 16  # of LATEC


@explainer(version="2.0", citation="Lundberg & Lee, NeurIPS 2017")
def deep_lift_shap(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Mean DeepLIFT against each of the first inputs of the background set."""
    from harness.methods.baselines.attribution._deep_lift import contributions_for_each

    baselines = context.background[:BACKGROUND]

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        return contributions_for_each(model, some, baselines, classes).mean(dim=1)

    return in_batches(explain, inputs, targets)

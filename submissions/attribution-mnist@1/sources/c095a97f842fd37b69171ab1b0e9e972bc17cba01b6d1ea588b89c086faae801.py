"""DeepLIFT SHAP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

BACKGROUND = 16  # of LATEC


@explainer(version="1.0", citation="Lundberg & Lee, NeurIPS 2017")
def deep_lift_shap(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Mean DeepLIFT against each of the first inputs of the background set."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.DeepLiftShap(model).attribute(one, context.background[:BACKGROUND], target=target)
        return maps

    return one_by_one(explain, inputs, targets)

"""DeepLIFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", citation="Shrikumar et al., ICML 2017")
def deep_lift(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Contributions to the difference of the logit from that of an input of 0, by the rescale rule."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.DeepLift(model, eps=1e-9).attribute(one, target=target)
        return maps

    return one_by_one(explain, inputs, targets)

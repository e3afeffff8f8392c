"""DeepLIFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="2.0", citation="Shrikumar et al., ICML 2017")
def deep_lift(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Contributions to the difference of the logit from that of an input of 0, by the rescale rule."""
    from harness.methods.baselines.attribution._deep_lift import contributions

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        return contributions(model, some, some.new_zeros(some.shape), classes, must_add_up=True)

    return in_batches(explain, inputs, targets)

"""Occlusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import AT_ONCE, one_by_one
from harness.methods.baselines.attribution._captum import captum
from harness.methods.baselines.attribution._folded import folded
from harness.methods.baselines.attribution._maps import scaled
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

WINDOW = {"image": 50, "volume": 7, "point-cloud": 1}
STRIDE = {"image": 25, "volume": 4, "point-cloud": 1}
"""Of LATEC: for sides of 224 pixels or 28 voxels, and for points."""


@explainer(version="1.0", citation="Zeiler & Fergus, ECCV 2014")
def occlusion(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Fall of the logit when a window is set to 0, the mean over all windows that a place lies in."""

    channels, spatial = inputs.shape[1], inputs.shape[2:]
    window = (channels, *(scaled(WINDOW[context.modality], side, context) for side in spatial))
    stride = (channels, *(scaled(STRIDE[context.modality], side, context) for side in spatial))

    network = folded(model, inputs)

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.Occlusion(network).attribute(
                one, window, stride, target=target, perturbations_per_eval=AT_ONCE
            )
        return maps

    return one_by_one(explain, inputs, targets)

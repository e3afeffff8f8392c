"""Integrated gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import AT_ONCE, one_by_one
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

STEPS = {"image": 30, "volume": 30, "point-cloud": 16}  # of LATEC


@explainer(version="1.0", citation="Sundararajan et al., ICML 2017")
def integrated_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Input times the mean gradient on the straight way from an input of 0 (Gauss-Legendre quadrature)."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr:
            maps: Tensor = attr.IntegratedGradients(model).attribute(
                one, target=target, n_steps=STEPS[context.modality], internal_batch_size=AT_ONCE
            )
        return maps

    return one_by_one(explain, inputs, targets)

"""Expected gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one, seeded
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

SAMPLES, NOISE = 40, 0.001  # of LATEC


@explainer(version="1.0", stochastic=True, citation="Erion et al., Nature Machine Intelligence 2021")
def expected_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Integrated gradients from random inputs of the background set, at random places on the way."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr, seeded(context.seed):
            maps: Tensor = attr.GradientShap(model).attribute(
                one, context.background, target=target, n_samples=SAMPLES, stdevs=NOISE
            )
        return maps

    return one_by_one(explain, inputs, targets)

"""KernelSHAP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one, seeded
from harness.methods.baselines.attribution._blocks import SAMPLES, blocks
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", stochastic=True, citation="Lundberg & Lee, NeurIPS 2017")
def kernel_shap(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Shapley values of features against an input of 0, by a weighted regression on random coalitions."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr, seeded(context.seed):
            maps: Tensor = attr.KernelShap(model).attribute(
                one, target=target, feature_mask=blocks(one, context), n_samples=SAMPLES, perturbations_per_eval=SAMPLES
            )
        return maps

    return one_by_one(explain, inputs, targets)

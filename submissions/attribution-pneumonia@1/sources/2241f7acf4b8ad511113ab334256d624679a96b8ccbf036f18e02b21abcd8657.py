"""Local interpretable model-agnostic explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one, seeded
from harness.methods.baselines.attribution._blocks import SAMPLES, blocks
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

RIDGE = {"image": 1.0, "volume": 1.0, "point-cloud": 4.0}
"""Of the LIME package, and of LATEC for point clouds. LATEC's LASSO would leave no coefficient of most maps."""


@explainer(version="1.0", stochastic=True, citation="Ribeiro et al., KDD 2016")
def lime(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Coefficients of a ridge regression of the logit on which features are there, the others set to 0."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr, captum("captum._utils.models.linear_model") as linear, seeded(context.seed):
            method = attr.Lime(model, interpretable_model=linear.SkLearnRidge(alpha=RIDGE[context.modality]))
            maps: Tensor = method.attribute(
                one, target=target, feature_mask=blocks(one, context), n_samples=SAMPLES, perturbations_per_eval=SAMPLES
            )
        return maps

    return one_by_one(explain, inputs, targets)

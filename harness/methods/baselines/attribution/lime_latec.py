"""Local interpretable model-agnostic explanations as LATEC computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.methods.baselines.attribution._batches import one_by_one, seeded
from harness.methods.baselines.attribution._blocks import SAMPLES, blocks
from harness.methods.baselines.attribution._captum import captum
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context
    from harness.spec.method import Modality


@explainer(version="1.0", stochastic=True, citation="Klein et al., NeurIPS 2024")
def lime_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: coefficients of a lasso after a few steps of descent; for points, of a ridge regression."""

    def explain(one: Tensor, target: Tensor) -> Tensor:
        with captum() as attr, captum("captum._utils.models.linear_model") as linear, seeded(context.seed):
            maps: Tensor = attr.Lime(model, interpretable_model=_surrogate(linear, context.modality)).attribute(
                one, target=target, feature_mask=blocks(one, context), n_samples=SAMPLES, perturbations_per_eval=SAMPLES
            )
        return maps

    return one_by_one(explain, inputs, targets)


def _surrogate(linear: Any, modality: Modality) -> Any:
    """What is fitted, of captum's linear models.

    The lasso takes at most 100 steps of gradient descent from 0, with penalty 1, and no coefficient to 0 exactly. For
    points LATEC asks for a ridge penalty of 4, which its fork of captum hands on to nobody: it takes the default, 1.
    """
    return linear.SkLearnRidge(alpha=1.0) if modality == "point-cloud" else linear.SGDLasso()

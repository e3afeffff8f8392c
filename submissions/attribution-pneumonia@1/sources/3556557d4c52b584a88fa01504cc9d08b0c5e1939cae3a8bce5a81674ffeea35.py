"""Layer-wise relevance propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import AT_ONCE, in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

EPSILON = {"image": 1e-4, "volume": 1e-4, "point-cloud": 1e-5}  # of LATEC
GAMMA = 0.25


@explainer(version="2.0", citation="Bach et al., PLOS ONE 2015; Chefer et al., CVPR 2021")
def lrp(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Relevance of the input; for transformers by Chefer et al., summed over channels where it is positive."""
    return _relevance(model, inputs, targets, context, latec=False)


@explainer(version="1.0", citation="Klein et al., NeurIPS 2024")
def lrp_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: in transformers, positions take a share, and pixels and voxels have a rule of their own."""
    return _relevance(model, inputs, targets, context, latec=True)


def _relevance(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context, *, latec: bool) -> Tensor:
    from harness.methods.baselines.attribution._operations import trace
    from harness.methods.baselines.attribution._relprop import convolutional_relevance, transformer_relevance

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        if context.architecture == "cnn":
            return convolutional_relevance(model, some, classes, epsilon=EPSILON[context.modality], gamma=GAMMA)
        relevance, _ = transformer_relevance(trace(model, some, classes, whole_norms=True, precise=True), latec=latec)
        return relevance.sum(dim=1, keepdim=True).relu().to(some.dtype)

    return in_batches(explain, inputs, targets, AT_ONCE if context.architecture == "cnn" else 1)

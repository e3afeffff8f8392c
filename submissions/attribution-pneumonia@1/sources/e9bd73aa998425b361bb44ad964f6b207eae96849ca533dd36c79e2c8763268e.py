"""Relevance of attention times its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._attention import (
    attention,
    attention_gradients,
    by_head,
    class_token_map,
    rolled_out,
    with_residual,
)
from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", architectures=("transformer",), citation="Chefer et al., CVPR 2021")
def attention_lrp(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Rolls out the positive part of gradient times relevance of each block's attention, the mean over heads."""
    from harness.methods.baselines.attribution._operations import trace
    from harness.methods.baselines.attribution._relprop import transformer_relevance

    def explain(one: Tensor, target: Tensor) -> Tensor:
        found = trace(model, one, target, whole_norms=True, precise=True)
        probabilities = attention(found, context)
        _, relevances = transformer_relevance(found, probabilities)
        gradients = attention_gradients(found, probabilities)
        pairs = zip(gradients, relevances, strict=True)
        products = by_head([(gradient * relevance).relu() for gradient, relevance in pairs])
        return class_token_map(rolled_out([with_residual(each.mean(dim=1)) for each in products]), one, context)

    return one_by_one(explain, inputs, targets)

"""Relevance of attention times its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._attention import (
    attention_gradients,
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
    from harness.methods.baselines.attribution._relprop import transformer_relevance

    def explain(one: Tensor, target: Tensor) -> Tensor:
        _, relevances = transformer_relevance(model, one, target, context.blocks)
        gradients = attention_gradients(model, one, target, context)
        pairs = zip(gradients, relevances, strict=True)
        flows = [with_residual((gradient * relevance).relu().mean(dim=1)) for gradient, relevance in pairs]
        return class_token_map(rolled_out(flows), one, context)

    return one_by_one(explain, inputs, targets)

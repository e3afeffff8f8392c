"""Attention rollout, as its authors define it and as LATEC computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._attention import (
    attention,
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


@explainer(version="1.0", architectures=("transformer",), citation="Abnar & Zuidema, ACL 2020")
def attention_rollout(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Product of each block's attention, the mean over heads, averaged with the residual connection."""
    from harness.methods.baselines.attribution._operations import trace

    def explain(one: Tensor, target: Tensor) -> Tensor:
        probabilities = by_head(attention(trace(model, one, target), context))
        flows = [with_residual(each.mean(dim=1)) / 2 for each in probabilities]
        return class_token_map(rolled_out(flows), one, context)

    return one_by_one(explain, inputs, targets)


@explainer(version="1.0", architectures=("transformer",), citation="Klein et al., NeurIPS 2024")
def attention_rollout_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: rolls out the positive relevance of attention instead, and rows are not normalised."""
    from harness.methods.baselines.attribution._operations import trace
    from harness.methods.baselines.attribution._relprop import transformer_relevance

    def explain(one: Tensor, target: Tensor) -> Tensor:
        found = trace(model, one, target, whole_norms=True, precise=True)
        _, relevances = transformer_relevance(found, attention(found, context))
        flows = [with_residual(each.relu().mean(dim=1)) for each in by_head(relevances)]
        return class_token_map(rolled_out(flows), one, context)

    return one_by_one(explain, inputs, targets)

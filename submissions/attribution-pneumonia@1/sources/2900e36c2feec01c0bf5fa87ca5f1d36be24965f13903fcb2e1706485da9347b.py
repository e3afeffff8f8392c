"""Attention of the last block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._attention import attention, by_head, class_token_map
from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", architectures=("transformer",), citation="Jain & Wallace, NAACL 2019")
def raw_attention(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """What the class token attends to in the last block, the mean over heads."""
    from harness.methods.baselines.attribution._operations import trace

    def explain(one: Tensor, target: Tensor) -> Tensor:
        last = by_head(attention(trace(model, one, target), context))[-1]
        return class_token_map(last.mean(dim=1), one, context)

    return one_by_one(explain, inputs, targets)

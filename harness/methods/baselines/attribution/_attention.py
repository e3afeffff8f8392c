"""Attention of a transformer, and from what tokens matter to the class token to maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._maps import enlarged, to_unit_range
from harness.methods.outputs import NotOfferedError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.baselines.attribution._operations import Operation, Trace
    from harness.methods.context import Context


def attention(found: Trace, context: Context) -> list[Tensor]:
    """Attention probabilities of each block, first to last, as the network made them for one input: (..., tokens, tokens),
    what is before the tokens being heads.

    They are what soft-max over the last axis returns for all pairs of tokens, that of the class and those of the grid.
    Raises NotOfferedError where there are none, or not one for each of the blocks that are named.
    """
    from harness.methods.baselines.attribution._operations import SOFTMAX

    tokens = 1 + math.prod(context.grid)
    made = [each.outputs[0] for each in found.operations if each.name in SOFTMAX and _over_last(each)]
    among_all = [each for each in made if each.ndim > 2 and each.shape[-2:] == (tokens, tokens)]
    if not among_all:
        raise NotOfferedError(
            f"this model computes no soft-max over {tokens} tokens (a class token and its grid) for each of them"
        )
    blocks = context.block_count
    if blocks is not None and blocks != len(among_all):
        raise NotOfferedError(f"this model computes {len(among_all)} soft-maxes among its tokens in {blocks} blocks")
    return among_all


def _over_last(operation: Operation) -> bool:
    return operation.arguments["dim"] in (-1, operation.outputs[0].ndim - 1)


def by_head(values: Sequence[Tensor]) -> list[Tensor]:
    """(1, heads, tokens, tokens) of one input."""
    return [each.reshape(1, -1, *each.shape[-2:]) for each in values]


def attention_gradients(found: Trace, probabilities: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of the targets' logits by the attention probabilities of each block, first to last."""
    from harness.methods.baselines.attribution._operations import gradient, propagate

    return list(propagate(found, found.logits.new_ones(found.logits.shape), gradient, probabilities)[1:])


def rolled_out(flows: Sequence[Tensor]) -> Tensor:
    """(n, tokens, tokens): what flows from each token (column) to each (row) through all blocks, first to last.

    flows: of each block (n, tokens, tokens), with the residual connection in it.
    """
    joint = flows[0]
    for flow in flows[1:]:
        joint = flow @ joint
    return joint


def class_token_map(flow: Tensor, inputs: Tensor, context: Context) -> Tensor:
    """Maps (n, 1, *spatial) in [0, 1] from the class token's row of (n, tokens, tokens)."""
    coarse = flow[:, 0, 1:].reshape(len(flow), 1, *context.grid)
    return to_unit_range(enlarged(coarse, tuple(inputs.shape[2:]))).to(inputs.dtype)


def with_residual(flow: Tensor) -> Tensor:
    """flow + identity."""
    import torch

    return flow + torch.eye(flow.shape[-1], dtype=flow.dtype, device=flow.device)

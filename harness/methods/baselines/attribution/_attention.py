"""Attention of a transformer, and from what tokens matter to the class token to maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.baselines.attribution._maps import enlarged, to_unit_range

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


def attention(model: nn.Module, inputs: Tensor, context: Context) -> list[Tensor]:
    """Attention probabilities (n, heads, tokens, tokens) of each block, first to last."""
    import torch

    with torch.no_grad(), _recorded(context) as seen:
        model(inputs)
    return seen


def attention_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> list[Tensor]:
    """Gradients of the targets' logits by the attention probabilities of each block, first to last."""
    import torch

    with torch.enable_grad(), _recorded(context) as seen:
        logits = target_logits(model(inputs.detach().clone().requires_grad_()), targets)
        return list(torch.autograd.grad(logits.sum(), seen))


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
    return to_unit_range(enlarged(coarse, tuple(inputs.shape[2:])))


def with_residual(flow: Tensor) -> Tensor:
    """flow + identity."""
    import torch

    return flow + torch.eye(flow.shape[-1], dtype=flow.dtype, device=flow.device)


@contextmanager
def _recorded(context: Context) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []

    def record(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    handles = [block.get_submodule("attention.softmax").register_forward_hook(record) for block in context.blocks]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()

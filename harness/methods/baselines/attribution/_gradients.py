"""Gradients of the target's logit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

NOISY_COPIES = 50
NOISE = 0.15
"""Standard deviation, as a share of the difference between an input's largest and smallest value."""


def input_gradients(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """(n, c, *spatial): how each target's logit rises with its input."""
    import torch

    with torch.enable_grad():
        entry = inputs.detach().clone().requires_grad_()
        (gradients,) = torch.autograd.grad(target_logits(model(entry), targets).sum(), entry)
    return gradients


def target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """(n,) of logits (n, classes)."""
    return logits.gather(1, targets[:, None])[:, 0]


def noisy_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """(copies, c, *spatial): gradients at noisy copies of one input (1, c, *spatial), drawn as Smilkov et al. do."""
    import torch

    from harness.methods.baselines.attribution._batches import in_batches

    noise = torch.randn((NOISY_COPIES, *inputs.shape[1:]), generator=context.generator, dtype=inputs.dtype)
    copies = inputs + NOISE * (inputs.max() - inputs.min()) * noise.to(inputs.device)
    return in_batches(lambda x, y: input_gradients(model, x, y), copies, targets.expand(NOISY_COPIES))

"""Class activation maps: a layer's activations, weighted channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.baselines.attribution._maps import enlarged, to_unit_range
from harness.methods.outputs import NotOfferedError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


LATEC_EPSILON = 1e-7


def activations_and_gradients(
    model: nn.Module, inputs: Tensor, targets: Tensor, context: Context
) -> tuple[Tensor, Tensor]:
    """Output of the CAM layer, and the gradients of the targets' logits by it, both (n, channels, *grid)."""
    import torch

    seen: list[Tensor] = []

    def begin_here(module: nn.Module, args: Any, output: Any) -> Any:
        activations, *others = output if isinstance(output, tuple) else (output,)
        if not isinstance(activations, torch.Tensor):
            raise NotOfferedError(
                f"the layer for class activation maps answers with {type(output).__name__}; name one inside it as cam_layer"
            )
        seen.append(activations.detach().clone().requires_grad_())
        given = seen[-1].clone()  # on which what follows may work in place
        return (given, *others) if isinstance(output, tuple) else given

    handle = context.cam_layer.register_forward_hook(begin_here)
    try:
        with torch.enable_grad():
            logits = target_logits(model(inputs), targets)
    finally:
        handle.remove()
    if not seen or not logits.requires_grad:
        raise NotOfferedError("the logits do not depend on the layer for class activation maps; name another cam_layer")
    (gradients,) = torch.autograd.grad(logits.sum(), seen[-1])
    return _on_grid(seen[-1].detach(), inputs, context), _on_grid(gradients, inputs, context)


def weighted_activations(weights: Tensor, activations: Tensor, inputs: Tensor, *, latec: bool = False) -> Tensor:
    """Maps (n, 1, *spatial) in [0, 1] from weights (n, channels): the positive part of the weighted sum.

    latec: volumes are enlarged by nearest neighbour, and 1e-7 is added to the range before it divides.
    """
    import torch

    combined = torch.einsum("nc,nc...->n...", weights, activations)[:, None].relu()
    spatial = tuple(inputs.shape[2:])
    if latec:
        return to_unit_range(enlarged(combined, spatial, nearest=len(spatial) == 3), LATEC_EPSILON)
    return to_unit_range(enlarged(combined, spatial))


def _on_grid(values: Tensor, inputs: Tensor, context: Context) -> Tensor:
    """Tokens (n, 1 + t, channels) as (n, channels, *grid), without the class token; what is a grid already stays."""
    import torch

    if values.ndim == inputs.ndim:
        return values
    if values.ndim != 3:
        raise NotOfferedError(
            f"the layer for class activation maps gives shape {tuple(values.shape)}, neither (n, channels, *grid) nor "
            "tokens (n, 1 + t, dim); name another one as cam_layer"
        )
    if values.shape[1] != 1 + torch.Size(context.grid).numel():
        raise NotOfferedError(
            f"the layer for class activation maps gives {values.shape[1]} tokens, not a class token and those of the grid "
            f"{list(context.grid)}; mend cam_layer or grid"
        )
    return values[:, 1:].transpose(1, 2).reshape(len(values), -1, *context.grid)

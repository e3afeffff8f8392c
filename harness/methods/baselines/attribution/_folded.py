"""A copy of a network for images whose passes cost less on a CPU, for methods that need many of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_AGREEMENT = 1e-5  # of the largest logit: what another order of sums may change


def folded(model: nn.Module, inputs: Tensor) -> nn.Module:
    """A copy with batch norm folded into convolutions and channels last in memory; the model itself where that is no gain
    or not certainly the same.

    inputs (n, c, *spatial): the first two are passed through both. The model itself is given for other modalities and
    devices, without batch norm, in training mode, with hooks on its parts (which the copy may not have), if its `forward`
    decides by numbers or shapes, and if the copy's logits are others. Hooks on the model itself are the copy's, too.
    """
    import torch

    if inputs.ndim != 4 or inputs.device.type != "cpu" or len(inputs) == 0 or not _may_be_folded(model):
        return model
    example = inputs[:2].detach()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.fx.experimental.optimization import fuse

            copied = fuse(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            # Its hooks, and what else may be set on it, such as the mark of a model whose passes are counted.
            own = vars(copied)
            own.update({name: value for name, value in vars(model).items() if name not in own or "hook" in name})
            expected, found = model(example.clone()), copied(example.clone())
        same = found.dtype == expected.dtype and (found - expected).abs().max() <= _AGREEMENT * expected.abs().max()
    except Exception:  # what torch.fx cannot follow, and whatever a user's modules raise
        return model
    return copied if same else model


def _may_be_folded(model: nn.Module) -> bool:
    from torch import nn

    modules = list(model.modules())
    kept_out = any(module.training or (module is not model and _hooked(module)) for module in modules)
    return not kept_out and any(isinstance(module, nn.BatchNorm2d) for module in modules)


def _hooked(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind) for kind in kinds)

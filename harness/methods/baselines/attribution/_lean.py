"""A copy of a network for images whose passes cost less on a CPU, for methods that need many of them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness.methods.baselines.attribution._batches import in_batches


def in_lean_batches(
    explain: Callable[[nn.Module, Tensor, Tensor], Tensor],
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    size: int | None = None,
) -> Tensor:
    """What `explain` says of a copy of the model and of `size` inputs (n, c, *spatial) with targets (n,) at a time.

    The copy has batch norm folded into convolutions and its channels last in memory. Other modalities, other devices,
    and models whose `forward` rests on how numbers lie in memory (`view`) are given as they are.
    """

    def of(network: nn.Module) -> Tensor:
        return in_batches(partial(explain, network), inputs, targets, size)

    if inputs.ndim != 4 or inputs.device.type != "cpu":
        return of(model)
    try:
        lean = copy.deepcopy(model)
        _fold_batch_norm(lean)
        return of(lean.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    except RuntimeError:  # "view size is not compatible", or no copy can be made; anything else is raised again
        return of(model)


def _fold_batch_norm(model: nn.Module) -> None:
    """In place, for each convolution that is called once and whose output goes to one batch norm alone."""
    modules = dict(model.named_modules())
    if not any(isinstance(module, nn.BatchNorm2d) for module in modules.values()):
        return
    try:
        nodes = [node for node in torch.fx.symbolic_trace(model).graph.nodes if node.op == "call_module"]
    except Exception:  # a forward that decides by numbers, or whatever else cannot be followed
        return
    calls = Counter(node.target for node in nodes)
    for node in nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, torch.fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        if calls[node.target] > 1 or calls[before.target] > 1:
            continue
        convolution, norm = modules[before.target], modules[node.target]
        plain = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_mean is not None
        if plain and not any(_hooks(module) for module in (convolution, norm)):
            _replace(model, str(before.target), fuse_conv_bn_eval(convolution, norm))
            _replace(model, str(node.target), nn.Identity())


def _hooks(module: nn.Module) -> int:
    return len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)

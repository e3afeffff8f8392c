"""Layer-wise relevance propagation: forward passes whose backward pass carries relevance instead of gradients.

Modules are recomputed by functions that behave as before forwards, and backwards share out the relevance of their
output among their inputs; so are sums and products between modules. Whatever else a network does there moves
relevance as it moves numbers (views, slices, concatenation, maxima). Other ways for branches to meet are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.outputs import NotOfferedError

Forward = Callable[..., Tensor]
Rule = Callable[..., tuple[Tensor, ...]]
"""(relevance of the output, *inputs) -> relevance of each input."""

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LEAST = 1e-9  # what denominators are kept away from 0


def convolutional_relevance(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, epsilon: float, gamma: float
) -> Tensor:
    """Relevance (n, c, *spatial) of inputs; its sum over an input is the target's logit, less what biases take.

    Bach et al., PLOS ONE 2015, and Montavon et al. 2019: the gamma rule for `Linear`; activations hand it on; the
    epsilon rule for all other modules and for sums; both factors of a product get half.
    """
    rewritten: dict[nn.Module, Forward] = {}
    for module in _leaves(model):
        if isinstance(module, nn.Linear):
            rewritten[module] = partial(_propagated, module.forward, partial(_gamma_rule, module, gamma))
        elif _kind(module) in ("activation", "dropout"):
            rewritten[module] = partial(_unchanged, module)
        elif not isinstance(module, nn.Identity | nn.Flatten | nn.Unflatten):
            rewritten[module] = partial(_propagated, module.forward, partial(_epsilon_rule, module.forward, epsilon))
    logits, entry = _forward(model, rewritten, inputs, targets, epsilon)
    (relevance,) = torch.autograd.grad(logits, entry, logits.detach())
    return relevance


def transformer_relevance(
    model: nn.Module, inputs: Tensor, targets: Tensor, blocks: Sequence[nn.Module]
) -> tuple[Tensor, list[Tensor]]:
    """Relevance (n, c, *spatial) of inputs and (n, heads, tokens, tokens) of the attention of each block.

    Chefer et al., CVPR 2021, from relevance 1 of the target: positive contributions count in linear layers and
    convolutions (alpha = 1), normalisation, activations and soft-max hand it on, sums and products share it out.
    Raises NotOfferedError for blocks that are not as `harness.methods.context.Context.blocks` describes them.
    """
    attentions: list[Tensor] = []
    inside = {module for block in blocks for module in block.modules()}
    rewritten: dict[nn.Module, Forward] = {block: partial(_block, block, attentions) for block in blocks}
    for module in _leaves(model):
        if module in inside:
            continue
        if isinstance(module, _WEIGHTED):
            rewritten[module] = partial(_positive, module)
        elif _kind(module) in ("activation", "dropout", "normalization", "batchnorm", "instancenorm"):
            rewritten[module] = partial(_unchanged, module)
    logits, entry = _forward(model, rewritten, inputs, targets)
    relevance, *of_attention = torch.autograd.grad(logits, [entry, *attentions], torch.ones_like(logits))
    return relevance, of_attention


def _forward(
    model: nn.Module, rewritten: Mapping[nn.Module, Forward], inputs: Tensor, targets: Tensor, epsilon: float = _LEAST
) -> tuple[Tensor, Tensor]:
    """The targets' logits (n,), computed with rewritten modules, and the inputs that they depend on."""

    def rewrite(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        again = rewritten[module](*args)
        if again.shape != output.shape or not torch.allclose(again, output, rtol=1e-3, atol=1e-3):
            raise NotOfferedError(f"this model's {type(module).__name__} does not compute what relevance is known for")
        return again

    handles = [module.register_forward_hook(rewrite) for module in rewritten]
    try:
        with torch.enable_grad():
            entry = inputs.detach().clone().requires_grad_()
            weights = {name: weight.detach() for name, weight in model.named_parameters()}
            with _Arithmetic(epsilon):
                logits = target_logits(torch.func.functional_call(model, weights, (entry,)), targets)
    finally:
        for handle in handles:
            handle.remove()
    _refuse_hidden_meetings(logits)
    return logits, entry


class _Arithmetic(TorchFunctionMode):
    """Sums and products of branches that depend on the input, written in a network's `forward`."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self._epsilon = epsilon

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        branches = len(args) == 2 and all(isinstance(each, Tensor) and each.requires_grad for each in args)
        if func.__name__ not in _SHARES or not branches or kwargs or not torch.is_grad_enabled():
            return func(*args, **(kwargs or {}))
        function = getattr(torch, func.__name__)
        return _propagated(function, partial(_arithmetic_rule, function, self._epsilon), *args)


_SHARES = {"add": 1.0, "sub": 1.0, "mul": 0.5, "matmul": 0.5, "bmm": 0.5}
"""Of the relevance of both factors together, which is twice that of their product (Achtibat et al., ICML 2024)."""


def _refuse_hidden_meetings(output: Tensor) -> None:
    """Where branches meet in any other way, each would get all of the relevance."""
    seen: set[Any] = set()
    waiting = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if len(parents) > 1 and not node.name().startswith(("_Propagated", "Cat", "Stack")):
            raise NotOfferedError(f"relevance cannot follow this model through {node.name()} outside of its modules")
        waiting += parents


def _block(block: Any, attentions: list[Tensor], tokens: Tensor) -> Tensor:
    """A transformer block; its attention probabilities are appended to `attentions`."""
    n, t, dim = tokens.shape
    heads = block.attention.heads
    qkv = _positive(block.attention.qkv, _unchanged(block.norm1, tokens))
    query, key, value = qkv.view(n, t, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
    scale = (dim // heads) ** -0.5
    agreement = _propagated(torch.matmul, _product_rule, query, key.transpose(-2, -1))
    attentions.append(_propagated(lambda x: block.attention.softmax(scale * x), _hand_on, agreement))
    mixed = _propagated(torch.matmul, _product_rule, attentions[-1], value)
    change = _positive(block.attention.projection, mixed.transpose(1, 2).reshape(n, t, dim))
    tokens = _propagated(torch.add, _sum_rule, tokens, change)
    widen, activation, narrow = block.mlp
    hidden = _positive(widen, _unchanged(block.norm2, tokens))
    change = _positive(narrow, _unchanged(activation, hidden))
    return _propagated(torch.add, _sum_rule, tokens, change)


class _Propagated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Forward, rule: Rule, *inputs: Tensor) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(*inputs)
        return forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        return None, None, *ctx.rule(*relevance, *ctx.saved_tensors)


def _propagated(forward: Forward, rule: Rule, *inputs: Tensor) -> Tensor:
    output: Tensor = _Propagated.apply(forward, rule, *inputs)  # type: ignore[no-untyped-call]
    return output


def _unchanged(module: nn.Module, inputs: Tensor) -> Tensor:
    """A module that hands on the relevance of its output. It works on a copy, because it may work in place."""
    return _propagated(lambda x: module.forward(x.clone()), _hand_on, inputs)


def _positive(module: Any, inputs: Tensor) -> Tensor:
    """A linear layer or convolution with the rule that looks at positive contributions only."""
    return _propagated(module.forward, partial(_positive_rule, module), inputs)


def _hand_on(relevance: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
    return (relevance,)


def _epsilon_rule(forward: Forward, epsilon: float, relevance: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """In proportion to each input's part of the output, the denominator away from 0 by epsilon."""
    output, transposed = torch.func.vjp(forward, *inputs)  # type: ignore[misc]  # typed as if it had an auxiliary output
    parts = transposed(_ratio(relevance, output, epsilon))
    return tuple(each * part for each, part in zip(inputs, parts, strict=True))


def _arithmetic_rule(function: Any, epsilon: float, relevance: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    parts = _epsilon_rule(function, epsilon, relevance, *inputs)
    return tuple(_SHARES[function.__name__] * part for part in parts)


def _gamma_rule(module: nn.Linear, gamma: float, relevance: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
    """The same, with positive weights made larger."""
    weight = module.weight + gamma * module.weight.clamp_min(0)
    return _epsilon_rule(lambda x: F.linear(x, weight, module.bias), _LEAST, relevance, inputs)


def _positive_rule(module: Any, relevance: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
    """In proportion to each input's positive contribution to the output, biases aside."""

    def positive_part(above: Tensor, below: Tensor) -> Tensor:
        weight = module.weight
        return _without_bias(module, weight.clamp_min(0), above) + _without_bias(module, weight.clamp_max(0), below)

    above, below = _epsilon_rule(positive_part, _LEAST, relevance, inputs.clamp_min(0), inputs.clamp_max(0))
    return (above + below,)


def _without_bias(module: Any, weight: Tensor, inputs: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(inputs, weight)
    output: Tensor = module._conv_forward(inputs, weight, None)
    return output


def _sum_rule(relevance: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    return _conserved(relevance, _epsilon_rule(torch.add, _LEAST, relevance, first, second))


def _product_rule(relevance: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    return _conserved(relevance, _epsilon_rule(torch.matmul, _LEAST, relevance, first, second))


def _conserved(relevance: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Scale both parts so that their sums share the sum of relevance as their magnitudes do (Chefer et al., eq. 9)."""
    total = _sum(relevance)
    sums = [_sum(part) for part in parts]
    magnitude = sum((each.abs() for each in sums[1:]), sums[0].abs())
    return tuple(
        part * _ratio(total * _ratio(each.abs(), magnitude), each) for part, each in zip(parts, sums, strict=True)
    )


def _sum(values: Tensor) -> Tensor:
    """Over all but the first axis, which stay as 1."""
    return values.sum(dim=tuple(range(1, values.ndim)), keepdim=True)


def _ratio(numerator: Tensor, denominator: Tensor, least: float = _LEAST) -> Tensor:
    """numerator / denominator, with the denominator `least` further away from 0; 0 where it is 0 itself."""
    away = denominator + least * denominator.sign()
    return torch.where(denominator == 0, 0.0, numerator / torch.where(denominator == 0, 1.0, away))


def _leaves(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if not any(True for _ in module.children())]


def _kind(module: nn.Module) -> str:
    """Which part of `torch.nn.modules` a module is from, e.g. "activation"."""
    package, _, part = type(module).__module__.rpartition(".")
    return part if package == "torch.nn.modules" else ""

"""DeepLIFT: how differences of a logit come about from those of the inputs, operation by operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from harness.methods.baselines.attribution._operations import (
    MATRIX_PRODUCTS,
    MAXIMA,
    MOVES,
    SOFTMAX,
    SUMS,
    Operation,
    Parts,
    gradient,
    propagate,
    trace,
)
from harness.methods.outputs import NotOfferedError

_LEAST = 1e-9  # differences below are none
_CLOSE = 1e-3  # differences below this share of the numbers themselves are lost in rounding
_LINEAR = MOVES | SUMS | MATRIX_PRODUCTS | {"add", "sub", "rsub", "convolution"}


def contributions(
    model: nn.Module, inputs: Tensor, baselines: Tensor, targets: Tensor, *, must_add_up: bool = False
) -> Tensor:
    """(n, c, *spatial): what each number of the inputs contributes to how the targets' logits (n,) differ from those of
    the baselines; the sum over an input is the difference.

    The rescale rule of Shrikumar et al., ICML 2017, for functions of single numbers. Products, of which it does not
    speak, share a difference as the mean of both orders of changing one factor after the other does; soft-max is taken
    as exponentials, their sum and a division, normalisation as its means, products and roots; a maximum's difference is
    that of its place at the input and of its place at the baseline.
    Raises NotOfferedError where the network does other things for the baselines, for what has no such rule, and, if
    contributions must add up, where they do not: where neighbours, masks or other choices differ at the baseline.
    """
    found, base = (trace(model, each, targets, precise=True) for each in (inputs, baselines))
    if [*map(_signature, found.operations)] != [*map(_signature, base.operations)]:
        raise NotOfferedError("this model takes another way for the baseline than for the input")
    partners = dict(zip(found.operations, base.operations, strict=True))
    (multipliers,) = propagate(found, torch.ones_like(found.logits), lambda each, of: _rule(each, partners[each], of))
    parts = multipliers * (found.entry - base.entry)
    difference = found.logits - base.logits
    wrong = (parts.flatten(1).sum(dim=1) - difference).abs()
    near = 1e-2 * difference.abs() + 1e-4 * torch.maximum(found.logits.abs(), base.logits.abs())
    if not bool(parts.isfinite().all()) or (must_add_up and bool((wrong > near).any())):
        raise NotOfferedError(
            "DeepLIFT's contributions do not add up on this model: it chooses otherwise for the baseline (neighbours, "
            "masks, steps), or divides by what is 0 there"
        )
    return parts.to(inputs.dtype)


def _signature(operation: Operation) -> tuple[Any, ...]:
    """What two traces of the same way have in common."""
    return operation.name, [each for each in tree_leaves(dict(operation.arguments)) if not isinstance(each, Tensor)]


def _rule(operation: Operation, base: Operation, of_outputs: Parts) -> Parts:
    """Multipliers of the inputs from those of the outputs."""
    name, multiplier = operation.name, of_outputs[0]
    one = len(operation.inputs) == 1
    if (one and name in _LINEAR | {"mul"}) or name in MOVES | {"add", "sub", "rsub", "where"}:
        return gradient(operation, of_outputs)
    if one and operation.pointwise:
        return [_rescaled(operation, base, of_outputs)]
    if name == "mul" or name in MATRIX_PRODUCTS | {"convolution"}:
        return gradient(operation, of_outputs, _middle(operation, base))
    if name in MAXIMA | {"maximum", "minimum"}:
        return _of_maximum(operation, base, of_outputs)
    if name in SOFTMAX and multiplier is not None:
        return [_of_softmax(operation, base, multiplier)]
    if name == "div" and multiplier is not None:
        return _of_quotient(operation, base, multiplier)
    raise NotOfferedError(f"DeepLIFT has no rule for `{name}`, which this model computes")


def _middle(operation: Operation, base: Operation) -> list[Tensor]:
    return [(one + other) / 2 for one, other in zip(operation.inputs, base.inputs, strict=True)]


def _rescaled(operation: Operation, base: Operation, of_outputs: Parts) -> Tensor:
    """The slope between both inputs; where they are the same but for rounding, that in their middle."""
    (inputs,), (others,) = operation.inputs, base.inputs
    difference = inputs - others
    (slope,) = gradient(operation, of_outputs, _middle(operation, base))
    if slope is None:
        slope = torch.zeros_like(inputs)
    rises = [
        of * (out - other)
        for of, out, other in zip(of_outputs, operation.outputs, base.outputs, strict=True)
        if of is not None
    ]
    rise = sum(rises[1:], rises[0]).sum_to_size(inputs.shape)
    close = difference.abs() <= _LEAST + _CLOSE * (inputs.abs() + others.abs())
    return torch.where(close, slope, rise / difference.where(~close, 1.0))


def _of_maximum(operation: Operation, base: Operation, of_outputs: Parts) -> Parts:
    multiplier, *others = of_outputs
    if multiplier is None:
        return gradient(operation, of_outputs)
    out, other = operation.outputs[0], base.outputs[0]
    between = torch.minimum(out, other) if "min" in operation.name else torch.maximum(out, other)
    # What is largest at the input may be so at the baseline, beside others: all points of a cloud of zeros are.
    between = torch.where(torch.isclose(_at_same_places(operation, base), other), out, between)
    here = gradient(operation, [multiplier * (between - other), *others])
    there = gradient(base, [multiplier * (out - between), *others])
    parts: list[Tensor | None] = []
    for mine, its, given, at_base, slope in zip(
        here, there, operation.inputs, base.inputs, gradient(operation, of_outputs), strict=True
    ):
        difference = given - at_base
        none = difference.abs() <= _LEAST
        assert mine is not None
        assert its is not None
        assert slope is not None
        parts.append(torch.where(none, slope, (mine + its) / difference.where(~none, 1.0)))
    return parts


def _at_same_places(operation: Operation, base: Operation) -> Tensor:
    """Which numbers the baseline has where the maxima of the input are."""
    with torch.enable_grad():
        entries = [each.detach().requires_grad_() for each in operation.inputs]
        output = operation.call(*entries)[0]
        weights = torch.zeros_like(output, requires_grad=True)
        parts = torch.autograd.grad(output, entries, weights, create_graph=True)
        total = torch.stack([(part * at_base).sum() for part, at_base in zip(parts, base.inputs, strict=True)]).sum()
        return torch.autograd.grad(total, weights)[0]


def _of_softmax(operation: Operation, base: Operation, multiplier: Tensor) -> Tensor:
    dim = operation.arguments["dim"]
    (inputs,), (others,) = operation.inputs, base.inputs
    shift = torch.maximum(inputs.amax(dim, keepdim=True), others.amax(dim, keepdim=True))
    power, other = (inputs - shift).exp(), (others - shift).exp()
    total, other_total = power.sum(dim, keepdim=True), other.sum(dim, keepdim=True)
    # 1 / a - 1 / b = -(a - b) / (a b)
    of_total = -(multiplier * (power + other) / 2).sum(dim, keepdim=True) / (total * other_total)
    of_power = multiplier * (1 / total + 1 / other_total) / 2 + of_total
    difference = (inputs - others).nan_to_num(0.0)  # -inf - -inf where both are masked
    close = difference.abs() <= _LEAST + _CLOSE
    middle = ((inputs + others) / 2 - shift).exp()
    return of_power * torch.where(close, middle, (power - other) / difference.where(~close, 1.0))


def _of_quotient(operation: Operation, base: Operation, multiplier: Tensor) -> Parts:
    (above, below), (other_above, other_below) = operation.inputs, base.inputs
    of_above = multiplier * (1 / below + 1 / other_below) / 2
    of_below = -multiplier * (above + other_above) / 2 / (below * other_below)
    return [of_above.sum_to_size(above.shape), of_below.sum_to_size(below.shape)]

"""DeepLIFT: how differences of a logit come about from those of the inputs, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.baselines.attribution._operations import (
    MATRIX_PRODUCTS,
    MAXIMA,
    MOVES,
    POOLED_MAXIMA,
    SOFTMAX,
    SUMS,
    Operation,
    Parts,
    Trace,
    gradient,
    propagate,
    trace,
)
from harness.methods.outputs import NotOfferedError

_LEAST = 1e-9  # differences below are none
_CLOSE = 1e-3  # differences below this share of the numbers themselves are lost in rounding
_ROUNDED = 1e-5  # share of contributions, by which they miss their sum in single precision; usual is a hundredth of it
_SAME = 1e-9  # numbers of one sample among others of another batch
_ADDITIONS = frozenset(["add", "sub", "rsub", "where"])
_LINEAR = MOVES | SUMS | MATRIX_PRODUCTS | _ADDITIONS | {"convolution", "mul", "native_batch_norm"}  # of one input


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
    found = trace(model, inputs, None, linear_norms=True, precise=True)
    all_the_same = bool((baselines == baselines[:1]).all())
    base = next(_repeated_each(model, found, baselines[:1])) if all_the_same else _partner(model, found, baselines)
    return _contributions(found, base, targets, inputs.dtype, must_add_up=must_add_up)


def contributions_for_each(model: nn.Module, inputs: Tensor, baselines: Tensor, targets: Tensor) -> Tensor:
    """(n, b, c, *spatial): the same of each input for each of the baselines (b, c, *spatial)."""
    found = trace(model, inputs, None, linear_norms=True, precise=True)
    parts = [
        _contributions(found, base, targets, inputs.dtype, must_add_up=False)
        for base in _repeated_each(model, found, baselines)
    ]
    return torch.stack(parts, dim=1)


def _contributions(found: Trace, base: Trace, targets: Tensor, dtype: torch.dtype, *, must_add_up: bool) -> Tensor:
    """In this type. What is traced in a more precise one goes back in this one, too, where there are only sums and slopes
    from 0 to 1 on the way, which magnify no rounding, and once more in the precise one where large numbers cancel out."""
    partners = dict(zip(found.operations, base.operations, strict=True))
    logits, others = (target_logits(each.logits, targets) for each in (found, base))
    difference = logits - others
    gentle = all(_is_linear(each) or each.name in {"relu"} | POOLED_MAXIMA for each in found.operations)
    for precision in dict.fromkeys([dtype, logits.dtype] if gentle else [logits.dtype]):
        start = torch.zeros_like(found.logits, dtype=precision).scatter_(1, targets[:, None], 1.0)
        (multipliers,) = propagate(found, start, lambda each, of: _rule(each, partners[each], of))
        parts = (multipliers * (found.entry - base.entry)).flatten(1)
        wrong = (parts.sum(dim=1) - difference).abs()
        if bool((wrong <= _ROUNDED * parts.abs().sum(dim=1)).all()):
            break
    near = 1e-2 * difference.abs() + 1e-4 * torch.maximum(logits.abs(), others.abs())
    if not bool(parts.isfinite().all()) or (must_add_up and bool((wrong > near).any())):
        raise NotOfferedError(
            "DeepLIFT's contributions do not add up on this model: it chooses otherwise for the baseline (neighbours, "
            "masks, steps), or divides by what is 0 there"
        )
    return parts.view(found.entry.shape).to(dtype)


def _partner(model: nn.Module, found: Trace, baselines: Tensor) -> Trace:
    """What the network does for as many baselines (n, c, *spatial) as there are traced inputs."""
    base = trace(model, baselines, None, linear_norms=True, precise=True)
    if [*map(_signature, found.operations)] != [*map(_signature, base.operations)]:
        raise NotOfferedError("this model takes another way for the baseline than for the input")
    return base


def _repeated_each(model: nn.Module, found: Trace, baselines: Tensor) -> Iterator[Trace]:
    """What the network does for each of the baselines (b, c, *spatial), as often as there are traced inputs.

    All are run once and together, but one by one as often as needed where rows of numbers are not known to be those of
    one sample after the other.
    """
    together = _together(model, found, baselines)
    for number, baseline in enumerate(baselines):
        if together is None:
            yield _partner(model, found, baseline.expand(len(found.entry), *baseline.shape))
        else:
            yield _repeated(found, together, number, len(baselines) + 1)


def _together(model: nn.Module, found: Trace, baselines: Tensor) -> Trace | None:
    """The trace of the baselines and, behind them, the first traced input, whose numbers tell where those of one row lie.
    None where they are not what they were, and where shapes or constants are not those for as many rows."""
    count = len(baselines) + 1
    try:
        base = trace(
            model, torch.cat([baselines, found.entry[:1].to(baselines.dtype)]), None, linear_norms=True, precise=True
        )
    except NotOfferedError:
        return None
    pairs = zip(found.operations, base.operations, strict=False)
    same = len(found.operations) == len(base.operations) and all(_fit(*pair, len(found.entry), count) for pair in pairs)
    return base if same else None


def _fit(operation: Operation, base: Operation, rows: int, others: int) -> bool:
    """Whether two operations differ in the number of rows alone, and the last of `others` is the first of `rows`."""
    (name, constants), (other_name, other_constants) = _signature(operation), _signature(base)
    if name != other_name or len(constants) != len(other_constants):
        return False
    by_rows = (
        one == other or (type(one) is type(other) is int and one * others == other * rows)
        for one, other in zip(constants, other_constants, strict=True)
    )
    pairs = zip(operation.outputs, base.outputs, strict=True)  # inputs are the outputs of operations before
    return all(by_rows) and all(_first_is_last(*pair, rows, others) for pair in pairs)


def _first_is_last(tensor: Tensor, other: Tensor, rows: int, others: int) -> bool:
    if not tensor.ndim or tensor.shape[1:] != other.shape[1:] or len(tensor) * others != len(other) * rows:
        return False
    first, last = tensor[: len(tensor) // rows], other[-(len(other) // others) :]
    same = torch.equal(first, last) or torch.allclose(first, last, rtol=_SAME, atol=_SAME, equal_nan=True)
    return len(tensor) % rows == 0 and same


def _repeated(found: Trace, together: Trace, number: int, count: int) -> Trace:
    """What was seen of one baseline of `count` rows, as often as there are traced inputs."""

    def rows(tensor: Tensor) -> Tensor:
        size = len(tensor) // count
        row = tensor[None, number * size : (number + 1) * size]
        return row.expand(len(found.entry), *row.shape[1:]).flatten(0, 1)

    operations = [
        replace(
            operation,
            inputs=tuple(map(rows, base.inputs)),
            outputs=tuple(map(rows, base.outputs)),
            places=None if base.places is None else rows(base.places),
        )
        for operation, base in zip(found.operations, together.operations, strict=True)
    ]
    return Trace(operations, rows(together.entry), rows(together.logits))


def _signature(operation: Operation) -> tuple[Any, ...]:
    """What two traces of the same way have in common."""
    given = (each if isinstance(each, list | tuple) else (each,) for each in operation.arguments.values())
    return operation.name, [one for each in given for one in each if not isinstance(one, Tensor)]


def _rule(operation: Operation, base: Operation, of_outputs: Parts) -> Parts:
    """Multipliers of the inputs from those of the outputs."""
    name, multiplier = operation.name, of_outputs[0]
    one = len(operation.inputs) == 1
    if _is_linear(operation):
        return gradient(operation, of_outputs)
    if name == "relu" and multiplier is not None:
        return [multiplier * _slope_of_relu(operation, base, multiplier.dtype)]
    if one and operation.pointwise:
        return [_rescaled(operation, base, of_outputs)]
    if name == "mul" or name in MATRIX_PRODUCTS | {"convolution"}:
        return gradient(operation, of_outputs, _middle(operation, base))
    if name in POOLED_MAXIMA and multiplier is not None:
        return [_of_pooled_maximum(operation, base, multiplier)]
    if name in MAXIMA | {"maximum", "minimum"}:
        return _of_maximum(operation, base, of_outputs)
    if name in SOFTMAX and multiplier is not None:
        return [_of_softmax(operation, base, multiplier)]
    if name == "div" and multiplier is not None:
        return _of_quotient(operation, base, multiplier)
    raise NotOfferedError(f"DeepLIFT has no rule for `{name}`, which this model computes")


def _is_linear(operation: Operation) -> bool:
    return operation.name in MOVES | _ADDITIONS or (len(operation.inputs) == 1 and operation.name in _LINEAR)


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


def _slope_of_relu(operation: Operation, base: Operation, dtype: torch.dtype) -> Tensor:
    """As `_rescaled`, whose care for small differences it does not need: where signs differ, they are as large as the
    numbers, and elsewhere the slope is 0 or 1 for whatever numbers of these signs, also for rounded ones."""
    given, at_base = (_rounded(each.inputs[0], dtype) for each in (operation, base))
    difference = given - at_base
    slope = (given.clamp_min(0) - at_base.clamp_min(0)).div_(difference)
    # Comparisons of all numbers cost more than all the rest.
    return slope if difference.all() else torch.where(difference == 0, given > 0, slope)


def _rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Only the first of rows that are one in memory."""
    return (tensor[:1] if tensor.ndim and tensor.stride(0) == 0 else tensor).to(dtype)


def _of_pooled_maximum(operation: Operation, base: Operation, multiplier: Tensor) -> Tensor:
    """As `_of_maximum`, with numbers taken from and put to the places of both maxima."""
    assert operation.places is not None
    assert base.places is not None
    plane = -3 if "3d" in operation.name else -2
    given, at_base, here, there, out, other, of = (
        each.flatten(plane)
        for each in (
            *(*operation.inputs, *base.inputs, operation.places, base.places),
            *(operation.outputs[0], base.outputs[0], multiplier),
        )
    )
    out, other, other_here, given_there = (
        each.to(of.dtype) for each in (out, other, at_base.gather(-1, here), given.gather(-1, there))
    )
    rise = out - other
    first = torch.where(_is_maximum_too(other, other_here), rise, rise.clamp_min(0))
    parts = of * _quotient(first, out - other_here, 1.0)
    spread = torch.zeros_like(given, dtype=of.dtype).scatter_add_(-1, here, parts)
    parts = of * _quotient(rise - first, given_there - other, 0.0)
    return spread.scatter_add_(-1, there, parts).view(operation.inputs[0].shape)


def _quotient(rise: Tensor, difference: Tensor, otherwise: float) -> Tensor:
    """Of no difference, what it is otherwise."""
    return torch.where(difference.abs() <= _LEAST, otherwise, rise / difference)


def _is_maximum_too(other: Tensor, other_here: Tensor) -> Tensor:
    """What is largest at the input may be so at the baseline, beside others: all points of a cloud of zeros are."""
    return (other_here - other).abs() <= 1e-8 + 1e-5 * other.abs()


def _of_maximum(operation: Operation, base: Operation, of_outputs: Parts) -> Parts:
    multiplier, *others = of_outputs
    if multiplier is None:
        return gradient(operation, of_outputs)
    out, other = operation.outputs[0], base.outputs[0]
    extreme = torch.minimum(out, other) if "min" in operation.name else torch.maximum(out, other)
    between = torch.where(_is_maximum_too(other, _at_same_places(operation, base)), out, extreme)
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

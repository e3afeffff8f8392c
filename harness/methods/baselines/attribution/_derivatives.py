"""Gradients of operations that need not be run once more for it: by the functions that autograd itself would call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.methods.baselines.attribution._operations import Operation

Derivative = Callable[["Operation", Sequence[Tensor], Tensor], Sequence[Tensor] | None]
"""(operation, numbers of its inputs, gradient of its first output) -> gradients of its inputs, or None if not known."""


def derivative(operation: Operation, at: Sequence[Tensor] | None, of_output: Tensor) -> Sequence[Tensor] | None:
    """Gradients of an operation's inputs, at other inputs than those that it had if wanted; None if not known here.

    of_output: may be less precise than the operation; so may they.
    """
    known = _DERIVATIVES.get(operation.name)
    return None if known is None else known(operation, at or operation.inputs, of_output)


def _convolution(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor] | None:
    """Without convolving once more, which is most of what the way back costs."""
    given = operation.arguments
    if len(at) != 1:
        return None
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
    wanted = [given[name] is operation.inputs[0] for name in ("input", "weight", "bias")]
    inputs = _of_shape_alone if wanted[0] else Tensor.to
    parts = torch.ops.aten.convolution_backward(
        of_output.contiguous(),
        inputs(given["input"], of_output.dtype),
        given["weight"].to(of_output.dtype),
        [given["weight"].shape[0]],
        *map(given.get, names),
        wanted,
    )
    return [parts[wanted.index(True)]]


def _norm_by_training_set(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor] | None:
    given = operation.arguments
    if len(at) != 1 or given["training"] or given["input"] is not operation.inputs[0]:
        return None
    weight, mean, variance = (
        each if each is None else each.to(of_output.dtype)
        for each in map(given.get, ("weight", "running_mean", "running_var"))
    )
    none = of_output.new_empty(0)
    wanted = [True, False, False]
    inputs = _of_shape_alone(at[0], of_output.dtype)
    parts = torch.ops.aten.native_batch_norm_backward(
        of_output, inputs, weight, mean, variance, none, none, False, given["eps"], wanted
    )
    return [parts[0]]


def _of_shape_alone(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """For what looks at the numbers of a tensor no more than to know of what type they are."""
    return tensor if tensor.dtype == dtype else torch.empty_like(tensor, dtype=dtype)


def _relu(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor]:
    return [torch.ops.aten.threshold_backward(of_output, at[0], 0)]


def _max_pool2d(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor] | None:
    if at is not operation.inputs:
        return None
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = [operation.arguments[name] for name in names]
    return [torch.ops.aten.max_pool2d_with_indices_backward(of_output, at[0], *given, operation.places)]


def _sum(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor] | None:
    given = operation.arguments
    if any(each.dtype != operation.outputs[0].dtype for each in at) or given["alpha"] != 1:
        return None
    return [of_output.sum_to_size(each.shape) for each in at]


def _product(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor] | None:
    factors = [operation.arguments[name] for name in ("self", "other")]
    if any(each.dtype != operation.outputs[0].dtype for each in at):
        return None
    others = [*reversed(at)] if len(at) == 2 else [factors[1] if factors[0] is operation.inputs[0] else factors[0]]
    dtype = operation.outputs[0].dtype
    others = [each.to(of_output.dtype) if isinstance(each, Tensor) and each.dtype == dtype else each for each in others]
    return [(of_output * other).sum_to_size(each.shape) for each, other in zip(at, others, strict=True)]


def _copy(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor]:
    return [of_output]


def _view(operation: Operation, at: Sequence[Tensor], of_output: Tensor) -> Sequence[Tensor]:
    return [of_output.reshape(at[0].shape)]


_DERIVATIVES: Mapping[str, Derivative] = MappingProxyType(
    {
        "convolution": _convolution,
        "native_batch_norm": _norm_by_training_set,
        "relu": _relu,
        "max_pool2d_with_indices": _max_pool2d,
        "add": _sum,
        "mul": _product,
        "clone": _copy,
        "view": _view,
    }
)

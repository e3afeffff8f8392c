"""Gradients of operations that need not be run once more for it: by the functions that autograd itself would call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.methods.baselines.attribution._operations import Operation

Derivative = Callable[["Operation", Tensor], Tensor]
"""(operation with one input, gradient of its first output) -> gradient of its input."""

_FIXED_NORM = "native_batch_norm"


def derivative(operation: Operation, at: Tensor | None) -> Derivative | None:
    """How gradients go back through an operation if it depends on one tensor; None if that is not known here.

    at: the input at which they are wanted, if it is not the one that the operation had.
    """
    if len(operation.inputs) != 1 or (at is not None and operation.name in _OF_OUTPUTS):
        return None
    if operation.name == _FIXED_NORM and not is_fixed_norm(operation):
        return None
    return _DERIVATIVES.get(operation.name)


def is_fixed_norm(operation: Operation) -> bool:
    """Whether it is batch norm by the statistics of the training set, which do not depend on the input."""
    given = operation.arguments
    return operation.name == _FIXED_NORM and not given["training"] and given["input"] is operation.inputs[0]


def _convolution(operation: Operation, of_output: Tensor) -> Tensor:
    given = operation.arguments
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
    wanted = [given[name] is operation.inputs[0] for name in ("input", "weight", "bias")]
    parts = torch.ops.aten.convolution_backward(
        of_output.contiguous(),
        given["input"],
        given["weight"],
        [given["weight"].shape[0]],
        *map(given.get, names),
        wanted,
    )
    part: Tensor = parts[wanted.index(True)]
    return part


def _fixed_norm(operation: Operation, of_output: Tensor) -> Tensor:
    given = operation.arguments
    names = ("input", "weight", "running_mean", "running_var")
    none = of_output.new_empty(0)
    wanted = [True, False, False]
    parts = torch.ops.aten.native_batch_norm_backward(
        of_output, *map(given.get, names), none, none, False, given["eps"], wanted
    )
    part: Tensor = parts[0]
    return part


def _relu(operation: Operation, of_output: Tensor) -> Tensor:
    part: Tensor = torch.ops.aten.threshold_backward(of_output, operation.outputs[0], 0)
    return part


def _max_pool2d(operation: Operation, of_output: Tensor) -> Tensor:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = [operation.arguments[name] for name in names]
    part: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        of_output, operation.inputs[0], *given, operation.places
    )
    return part


def _same(operation: Operation, of_output: Tensor) -> Tensor:
    return of_output


def _view(operation: Operation, of_output: Tensor) -> Tensor:
    return of_output.reshape(operation.inputs[0].shape)


_DERIVATIVES: Mapping[str, Derivative] = MappingProxyType(
    {
        "convolution": _convolution,
        _FIXED_NORM: _fixed_norm,
        "relu": _relu,
        "max_pool2d_with_indices": _max_pool2d,
        "clone": _same,
        "view": _view,
    }
)
_OF_OUTPUTS = {"relu", "max_pool2d_with_indices"}  # theirs depend on where the input is

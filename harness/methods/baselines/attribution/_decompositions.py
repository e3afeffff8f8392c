"""Operations as the simpler ones that they consist of: functions of their arguments in ATen, by their name there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

Arguments = Mapping[str, Any]
Decomposition = Callable[[Arguments], tuple[Tensor, ...]]
"""The operation's outputs; those that only its own gradient needs may be left out."""


def _layer_norm(given: Arguments) -> tuple[Tensor, ...]:
    out = _standardised(given["input"], range(-len(given["normalized_shape"]), 0), given["eps"])
    return (_scaled(out, given["weight"], given["bias"]),)


def _rms_norm(given: Arguments) -> tuple[Tensor, ...]:
    x, dims = given["input"], list(range(-len(given["normalized_shape"]), 0))
    eps = torch.finfo(x.dtype).eps if given["eps"] is None else given["eps"]
    return (_scaled(x * torch.rsqrt(x.square().mean(dims, keepdim=True) + eps), given["weight"], None),)


def _group_norm(given: Arguments) -> tuple[Tensor, ...]:
    x = given["input"]
    out = _standardised(x.reshape(len(x), given["group"], -1), [2], given["eps"]).view(x.shape)
    return (_scaled(out, *_by_channel(x, given["weight"], given["bias"])),)


def _batch_norm(given: Arguments) -> tuple[Tensor, ...]:
    x, eps = given["input"], given.get("eps", given.get("epsilon"))
    if given.get("training", given.get("running_mean") is None):  # statistics of the input: instance normalisation
        out = _standardised(x, [each for each in range(x.ndim) if each != 1], eps)
        return (_scaled(out, *_by_channel(x, given["weight"], given["bias"])),)
    scale = torch.rsqrt(given["running_var"] + eps)
    if given["weight"] is not None:
        scale = scale * given["weight"]
    shift = -given["running_mean"] * scale
    if given["bias"] is not None:
        shift = shift + given["bias"]
    return (_scaled(x, *_by_channel(x, scale, shift)),)


def _variance(given: Arguments) -> tuple[Tensor, ...]:
    return (_variance_and_mean(given)[0],)


def _deviation(given: Arguments) -> tuple[Tensor, ...]:
    return (_variance_and_mean(given)[0].sqrt(),)


def _variance_and_mean(given: Arguments) -> tuple[Tensor, Tensor]:
    x = given["self"]
    dims = list(given.get("dim") or range(x.ndim))
    correction = 1 if given.get("correction") is None else given["correction"]
    count = torch.Size([x.shape[each] for each in dims]).numel()
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().sum(dims, keepdim=given["keepdim"]) / (count - correction)
    return variance, mean if given["keepdim"] else x.mean(dims)


def _vector_norm(given: Arguments) -> tuple[Tensor, ...]:
    x, order = given["self"], given.get("ord", given.get("p"))
    order = 2 if order is None else order
    dims = list(range(x.ndim)) if given.get("dim") is None else given["dim"]
    powers = x.square() if order == 2 else x.abs() if order == 1 else x.abs() ** order
    total = powers.sum(dims, keepdim=bool(given.get("keepdim")))
    return (total if order == 1 else total.sqrt() if order == 2 else total ** (1 / order),)


def _copy(given: Arguments) -> tuple[Tensor, ...]:
    return (given["src"].to(given["self"].dtype).expand(given["self"].shape).clone(),)


def _glu(given: Arguments) -> tuple[Tensor, ...]:
    values, gates = given["self"].chunk(2, given["dim"])
    return (values * torch.sigmoid(gates),)


def _addcmul(given: Arguments) -> tuple[Tensor, ...]:
    return (given["self"] + given["tensor1"] * given["tensor2"] * given["value"],)


def _addcdiv(given: Arguments) -> tuple[Tensor, ...]:
    return (given["self"] + given["tensor1"] / given["tensor2"] * given["value"],)


def _lerp(given: Arguments) -> tuple[Tensor, ...]:
    return (given["self"] + (given["end"] - given["self"]) * given["weight"],)


def _product_and_sum(given: Arguments) -> tuple[Tensor, ...]:
    return (given["self"] * given["beta"] + torch.bmm(given["batch1"], given["batch2"]) * given["alpha"],)


def _standardised(x: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    centred = x - x.mean(list(dims), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(list(dims), keepdim=True) + eps)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _by_channel(x: Tensor, *values: Tensor | None) -> list[Tensor | None]:
    shape = [-1, *[1] * (x.ndim - 2)]
    return [None if each is None else each.view(shape) for each in values]


NORMS: Mapping[str, Decomposition] = MappingProxyType(
    {
        "native_layer_norm": _layer_norm,
        "_fused_rms_norm": _rms_norm,
        "native_group_norm": _group_norm,
        **dict.fromkeys(
            (
                "native_batch_norm",
                "cudnn_batch_norm",
                "miopen_batch_norm",
                "_native_batch_norm_legit",
                "_native_batch_norm_legit_functional",
                "_native_batch_norm_legit_no_training",
                "_batch_norm_with_update",
                "_batch_norm_no_update",
            ),
            _batch_norm,
        ),
    }
)
"""Normalisation by statistics of the input or of the training set."""

OTHERS: Mapping[str, Decomposition] = MappingProxyType(
    {
        "var": _variance,
        "std": _deviation,
        "var_mean": _variance_and_mean,
        "linalg_vector_norm": _vector_norm,
        "norm": _vector_norm,
        "copy": _copy,
        "glu": _glu,
        "addcmul": _addcmul,
        "addcdiv": _addcdiv,
        "lerp": _lerp,
        "baddbmm": _product_and_sum,
    }
)

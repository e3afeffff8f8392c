"""Correlation of many pairs at once."""

from __future__ import annotations

import torch
from torch import Tensor


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlation along the last axis of two tensors of one shape, float64; 0 where a side is constant."""
    a, b = a.to(torch.float64), b.to(torch.float64)
    centred, other = a - a.mean(dim=-1, keepdim=True), b - b.mean(dim=-1, keepdim=True)
    # Scaled first: the squares of small numbers would vanish.
    centred, other = _scaled(centred), _scaled(other)
    size = (centred.square().sum(dim=-1) * other.square().sum(dim=-1)).sqrt()
    constant = (a == a[..., :1]).all(dim=-1) | (b == b[..., :1]).all(dim=-1)
    correlation = ((centred * other).sum(dim=-1) / size).clamp(-1.0, 1.0)
    return correlation.masked_fill(constant, 0.0)


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of the ranks along the last axis, equal values sharing their mean rank; 0 where a side is constant."""
    return pearson(average_ranks(a), average_ranks(b))


def average_ranks(values: Tensor) -> Tensor:
    """Ranks from 0 along the last axis, ascending, float64; equal values share their mean rank."""
    flat = values.reshape(-1, values.shape[-1])
    ordered, order = flat.sort(dim=1)
    starts = torch.ones_like(ordered, dtype=torch.int64)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = starts.cumsum(dim=1) - 1
    place = torch.arange(flat.shape[1], dtype=torch.float64).expand(flat.shape)
    zeros = torch.zeros(flat.shape, dtype=torch.float64)
    total, count = zeros.scatter_add(1, group, place), zeros.scatter_add(1, group, torch.ones_like(place))
    mean = (total / count.clamp_min(1.0)).gather(1, group)
    return zeros.scatter(1, order, mean).view(values.shape)


def _scaled(values: Tensor) -> Tensor:
    return values / values.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)

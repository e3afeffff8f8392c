"""Random numbers for each image of a batch (n, c, h, w), as (n, 1, 1, 1), from torch's global generator."""

from __future__ import annotations

import torch
from torch import Tensor


def chance(images: Tensor, probability: float) -> Tensor:
    """True with a probability."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < probability


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)


def signed(sizes: Tensor) -> Tensor:
    """Numbers (n, 1, 1, 1), half of them with the other sign."""
    return torch.where(torch.rand_like(sizes) < 0.5, sizes, -sizes)

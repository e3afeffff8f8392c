"""A reference row: a map without information."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


@explainer(version="1.0", reference=True)
def constant_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """1 everywhere."""
    return inputs.new_ones((len(inputs), 1, *inputs.shape[2:]))

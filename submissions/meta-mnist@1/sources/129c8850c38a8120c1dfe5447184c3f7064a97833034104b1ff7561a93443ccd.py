"""A reference row: a metric that looks at neither input nor model, and depends on the scale of a map alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import attribution_metric

if TYPE_CHECKING:
    from torch import Tensor, nn


@attribution_metric(version="1.0", higher_is_better=True, criterion="faithfulness", reference=True)
def map_norm(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor) -> Tensor:
    """Euclidean norm of the map."""
    norms: Tensor = maps.double().flatten(1).norm(dim=1)
    return norms

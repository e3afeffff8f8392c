"""Predictive entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Shannon 1948; Jaeger et al., ICLR 2023")
def pe(outputs: Outputs) -> Tensor:
    """Negative entropy of the predicted distribution."""
    return (outputs.probabilities * outputs.log_probabilities).sum(dim=1)

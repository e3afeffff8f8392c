"""Maximum soft-max response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Hendrycks & Gimpel, ICLR 2017")
def msr(outputs: Outputs) -> Tensor:
    """Probability of the predicted class."""
    return outputs.probabilities.amax(dim=1)

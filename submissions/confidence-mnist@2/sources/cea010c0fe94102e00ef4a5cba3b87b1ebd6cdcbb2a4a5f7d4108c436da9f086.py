"""Margin between the two most probable classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Scheffer et al., IDA 2001")
def margin(outputs: Outputs) -> Tensor:
    """Probability of the first class minus that of the second."""
    top = outputs.probabilities.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]

"""Learned true-class probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", head="confidnet", citation="Corbière et al., NeurIPS 2019")
def confidnet(outputs: Outputs) -> Tensor:
    """What the ConfidNet head predicts as the probability of the true class."""
    return outputs.head_confidence

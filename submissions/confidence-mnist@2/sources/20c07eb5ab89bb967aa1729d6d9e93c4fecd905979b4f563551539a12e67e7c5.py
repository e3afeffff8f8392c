"""Generalised entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


GAMMA, LARGEST = 0.1, 100


@confidence_score(version="1.0", citation="Liu et al., GEN, CVPR 2023")
def gen(outputs: Outputs) -> Tensor:
    """Negative generalised entropy, sum of p^gamma (1-p)^gamma over the most probable classes."""
    probabilities = outputs.probabilities
    top = probabilities.topk(min(LARGEST, probabilities.shape[1]), dim=1).values
    return -(top.pow(GAMMA) * (1 - top).clamp_min(0).pow(GAMMA)).sum(dim=1)

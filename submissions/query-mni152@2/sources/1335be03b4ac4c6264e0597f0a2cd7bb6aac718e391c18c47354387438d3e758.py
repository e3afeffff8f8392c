"""Predictive entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods import uncertainty
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    from torch import Tensor


@query_strategy(version="1.0", citation="Lewis & Gale, SIGIR 1994; Shannon 1948")
def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean prediction."""
    return uncertainty.predictive_entropy(probabilities)

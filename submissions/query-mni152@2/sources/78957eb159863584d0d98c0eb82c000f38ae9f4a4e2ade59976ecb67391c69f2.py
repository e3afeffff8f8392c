"""BALD: mutual information of class and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods import uncertainty
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    from torch import Tensor


@query_strategy(version="1.0", needs=("members",), citation="Houlsby et al. 2011; Gal et al., ICML 2017")
def bald(probabilities: Tensor) -> Tensor:
    """How far the members disagree: entropy of the mean minus mean of the entropies."""
    return uncertainty.mutual_information(probabilities)

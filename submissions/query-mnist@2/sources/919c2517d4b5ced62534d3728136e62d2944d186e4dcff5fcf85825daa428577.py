"""Variation ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods import uncertainty
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    from torch import Tensor


@query_strategy(version="1.0", citation="Freeman 1965; Gal et al., ICML 2017")
def variation_ratio(probabilities: Tensor) -> Tensor:
    """One minus the largest mean probability."""
    return uncertainty.variation_ratio(probabilities)

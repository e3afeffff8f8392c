"""Margin sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods import uncertainty
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    from torch import Tensor


@query_strategy(version="1.0", citation="Scheffer et al., IDA 2001")
def margin_sampling(probabilities: Tensor) -> Tensor:
    """Smallest margin between the two most probable classes."""
    return uncertainty.margin(probabilities)

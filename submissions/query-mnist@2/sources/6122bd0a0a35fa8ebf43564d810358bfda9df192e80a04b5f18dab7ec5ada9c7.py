"""Expected entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods import uncertainty
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    from torch import Tensor


@query_strategy(version="1.0", needs=("members",), citation="Gal et al., ICML 2017")
def expected_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the members' predictions."""
    return uncertainty.expected_entropy(probabilities)

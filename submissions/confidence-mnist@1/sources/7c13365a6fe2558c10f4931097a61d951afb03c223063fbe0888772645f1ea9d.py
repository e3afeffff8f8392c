"""Spread of the Monte-Carlo-dropout members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_variance(outputs: Outputs) -> Tensor:
    """Negative standard deviation of the probabilities over the members, mean over classes."""
    return -outputs.mc_probabilities.std(dim=0, correction=0).mean(dim=1)

"""Predictive entropy of the Monte-Carlo-dropout mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_pe(outputs: Outputs) -> Tensor:
    """Negative entropy of the mean probabilities: total uncertainty."""
    import torch

    entropy: Tensor = torch.special.entr(outputs.mc_probabilities.mean(dim=0)).sum(dim=1)
    return -entropy

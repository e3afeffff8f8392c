"""Mutual information under Monte-Carlo dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Houlsby et al. 2011; Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_mi(outputs: Outputs) -> Tensor:
    """Negative mutual information of class and weights: how far the members disagree."""
    import torch

    members = outputs.mc_probabilities
    expected: Tensor = torch.special.entr(members).sum(dim=2).mean(dim=0)
    total: Tensor = torch.special.entr(members.mean(dim=0)).sum(dim=1)
    return expected - total

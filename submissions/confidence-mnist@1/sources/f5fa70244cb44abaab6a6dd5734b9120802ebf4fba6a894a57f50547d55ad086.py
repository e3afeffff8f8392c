"""Expected entropy under Monte-Carlo dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_ee(outputs: Outputs) -> Tensor:
    """Negative mean entropy of the members: the part of uncertainty that lies in the data."""
    import torch

    expected: Tensor = torch.special.entr(outputs.mc_probabilities).sum(dim=2).mean(dim=0)
    return -expected

"""Maximum soft-max response of the Monte-Carlo-dropout mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_msr(outputs: Outputs) -> Tensor:
    """Largest mean probability over the members."""
    return outputs.mc_probabilities.mean(dim=0).amax(dim=1)

"""Maximum logit score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Hendrycks et al., ICML 2022")
def mls(outputs: Outputs) -> Tensor:
    """Largest logit."""
    return outputs.logits.amax(dim=1)

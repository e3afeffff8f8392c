"""Free energy of the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Liu et al., NeurIPS 2020")
def energy(outputs: Outputs) -> Tensor:
    """Negative free energy at temperature 1: log-sum-exp of the logits."""
    return outputs.logits.logsumexp(dim=1)

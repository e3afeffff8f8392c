"""The confidence that comes with a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Jaeger et al., ICLR 2023")
def head_confidence(outputs: Outputs) -> Tensor:
    """What a model's own head, whichever it is, or the `confidence` of a table of results says."""
    return outputs.head_confidence

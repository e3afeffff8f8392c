"""Learned confidence with hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", head="devries", citation="DeVries & Taylor 2018")
def devries(outputs: Outputs) -> Tensor:
    """What the confidence branch says."""
    return outputs.head_confidence

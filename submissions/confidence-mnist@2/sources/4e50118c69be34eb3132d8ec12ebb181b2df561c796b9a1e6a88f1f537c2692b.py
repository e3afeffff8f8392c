"""A reference row: what chance achieves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", reference=True)
def random(outputs: Outputs) -> Tensor:
    """Uniform noise drawn from a hash of each sample's outputs, so that order changes nothing."""
    import hashlib

    import torch

    # As they were stored: soft-max would make equal rows, and so ties, of saturated logits.
    rows = (outputs.logits if "logits" in outputs else outputs.probabilities).cpu().numpy()
    digests = [hashlib.sha256(row.tobytes()).digest() for row in rows]
    return torch.tensor([int.from_bytes(digest[:4], "big") / 2**32 for digest in digests])

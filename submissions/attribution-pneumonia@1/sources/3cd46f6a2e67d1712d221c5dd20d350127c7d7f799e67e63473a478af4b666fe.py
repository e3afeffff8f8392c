"""A reference row: noise."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", reference=True, stochastic=True)
def random_map(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Uniform noise drawn from the seed and each sample's content."""
    import torch

    maps = []
    for sample in inputs.cpu().contiguous().numpy():
        digest = hashlib.sha256(f"{context.seed}/".encode() + sample.tobytes()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
        maps.append(torch.rand((1, *sample.shape[1:]), generator=generator))
    return torch.stack(maps).to(inputs)

"""Monte-Carlo dropout in which no sample depends on its batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


class SharedDropout(nn.Dropout):
    """Dropout that can stand still as one sub-network, the same for all samples: see `sub_network`.

    Without that it is torch's: a mask for each sample while training, none in evaluation.
    """

    seed: int | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.seed is None:
            return super().forward(inputs)
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same mask on every device
        kept = torch.rand(inputs.shape[1:], generator=generator) >= self.p
        return inputs * (kept.to(inputs.device, inputs.dtype) / (1.0 - self.p))


@contextmanager
def sub_network(network: nn.Module, seed: int, member: int) -> Iterator[nn.Module]:
    """The network as member number `member` of its Monte-Carlo ensemble (Gal & Ghahramani 2016).

    Only dropout acts; batch normalisation and all else keep their mode. Masks are drawn from (seed, member, place in
    the network) and shared by all samples, after Kirsch et al. 2019 (BatchBALD), so that what a member says of a sample
    depends on no other sample and on no batch size.
    """
    layers = [module for module in network.modules() if isinstance(module, SharedDropout)]
    try:
        for place, layer in enumerate(layers):
            layer.seed = int(np.random.SeedSequence([seed, member, place]).generate_state(1, np.uint64)[0] >> 1)
        yield network
    finally:
        for layer in layers:
            layer.seed = None

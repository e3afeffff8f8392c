"""Inputs with the maps that a metric scores, and how these are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Reading = Literal["corrected", "latec"]
"""corrected: positions (pixels, voxels, points) are ranked and removed, their channels together; equal attributions are
ordered at random, the same for all methods. latec: each number by itself, equal ones in the order of memory."""


class Explain(Protocol):
    """Asks the method for maps of other inputs, or of the same inputs under another model."""

    def __call__(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        """Maps (n, 1 or c, *spatial) of inputs (n, c, *spatial); without `model`, of the model that is explained."""
        ...


@dataclass(frozen=True)
class MapBatch:
    """What a metric looks at. Tensors as in `MapMetric.__call__`, on the CPU; maps in float64.

    A map that is zero everywhere says as little as one that is constant, and is treated as such: it becomes ones.
    """

    inputs: Tensor
    targets: Tensor
    raw_maps: Tensor
    seed: int
    explain: Explain | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def maps(self) -> Tensor:
        """(n, 1 or c, *spatial) float64, without zero maps."""
        return without_zero_maps(self.raw_maps)

    @cached_property
    def positions(self) -> Tensor:
        """(n, p): attribution of each pixel, voxel or point, the mean over channels, largest |value| 1."""
        return normalised(self.maps.mean(dim=1).flatten(1))

    @cached_property
    def elements(self) -> Tensor:
        """(n, c * p): attribution of each number of the input, a single channel repeated, largest |value| 1."""
        return normalised(self.maps.expand(self.inputs.shape).flatten(1))

    def compared(self, reading: Reading) -> Tensor:
        """What robustness compares: `elements`, among which in LATEC's reading maps of zeros stay zero."""
        if reading != "latec":
            return self.elements
        return self.elements * (self.raw_maps != 0).flatten(1).any(dim=1, keepdim=True).cpu()

    def scores(self, reading: Reading) -> Tensor:
        """What is ranked: positions whose channels go together; each number by itself in LATEC's reading."""
        return self.elements if reading == "latec" else self.positions

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """A generator for each sample, from the seed, the purpose and the sample's content."""
        import numpy as np

        prefix = f"{self.seed}/{purpose}/".encode()
        return [
            np.random.default_rng(int.from_bytes(hashlib.sha256(prefix + digest).digest()[:16], "big"))
            for digest in self.digests
        ]

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """Hash of each sample's input and target."""
        rows = zip(self.inputs.detach().cpu().numpy(), self.targets.tolist(), strict=True)
        return tuple(hashlib.sha256(row.tobytes() + str(target).encode()).digest() for row, target in rows)


def without_zero_maps(maps: Tensor) -> Tensor:
    """float64 on the CPU; maps that are zero everywhere become ones."""
    import torch

    maps = maps.detach().to("cpu", torch.float64, copy=True)
    maps[(maps == 0).flatten(1).all(dim=1)] = 1.0
    return maps


def normalised(maps: Tensor) -> Tensor:
    """Each row divided by its largest |value|; a row that is zero everywhere (opposite channels) becomes ones."""
    import torch

    flat = maps.flatten(1)
    largest = flat.abs().amax(dim=1)
    scaled = flat / largest.clamp_min(torch.finfo(flat.dtype).tiny)[:, None]
    scaled[largest == 0] = 1.0
    return scaled.view_as(maps)

"""The classifiers of the embedded confidence benchmark: one small CNN, three kinds of confidence head.

The body suits attribution methods too: no Flatten, no in-place operation, every ReLU a module of its own, no
module used twice in `forward`, a global average pooling before one linear layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

FAMILIES = ("plain", "devries", "deep-gamblers")
FEATURES = 64
_TRUNK_SHAPE = (6, 7, 7)


class NetworkOutputs(NamedTuple):
    """What the network says of n images in one pass."""

    features: Tensor  # (n, FEATURES), what the last linear layer sees without dropout
    logits: Tensor  # (n, classes)
    head_logit: Tensor  # (n,), raw output of the confidence head
    confidence: Tensor  # (n,), 0..1, higher = more confident


class Masks(NamedTuple):
    """The dropout masks of one sub-network, already divided by the probability to keep."""

    trunk: Tensor  # (channels, height, width)
    features: Tensor  # (FEATURES,)


class ConfidenceNetwork(nn.Module):
    """A CNN for inputs (n, 1, 28, 28) whose head states how far to trust the class.

    The head is, by family: `plain` the ConfidNet regressor of the true-class probability (Corbière et al.
    2019); `devries` the confidence branch (DeVries & Taylor 2018); `deep-gamblers` the logit of the extra
    "reservation" class (Liu et al. 2019). Dropout acts at two late places only, so that Monte-Carlo dropout
    (Gal & Ghahramani 2016) needs the costly trunk once.
    """

    def __init__(self, family: str, classes: int) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f"Unknown model family {family!r}; known are {', '.join(FAMILIES)}.")
        self.family = family
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(4, _TRUNK_SHAPE[0], 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.trunk_dropout = nn.Dropout(0.2)
        self.block = nn.Sequential(nn.Conv2d(_TRUNK_SHAPE[0], FEATURES, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.feature_dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(FEATURES, classes)
        self.head = _head(family)

    def forward(self, inputs: Tensor) -> Tensor:
        """Class logits (n, classes) of inputs (n, 1, 28, 28)."""
        pooled = self.block(self.trunk_dropout(self.trunk(inputs)))[:, :, 0, 0]
        logits: Tensor = self.classifier(self.feature_dropout(pooled))
        return logits

    def outputs(self, inputs: Tensor) -> NetworkOutputs:
        """Everything about inputs (n, 1, 28, 28), with random dropout in training mode only."""
        return self.finish(self.trunk(inputs))

    def finish(self, trunk: Tensor, masks: Masks | None = None) -> NetworkOutputs:
        """The late part of the network, from the trunk's activations (n, channels, height, width).

        With `masks` it is that fixed sub-network, else dropout as the module's mode says.
        """
        kept = self.trunk_dropout(trunk) if masks is None else trunk * masks.trunk
        features = self.block(kept)[:, :, 0, 0]
        seen = self.feature_dropout(features) if masks is None else features * masks.features
        logits, head_logit = self.classifier(seen), self.head(seen)[:, 0]
        return NetworkOutputs(features, logits, head_logit, self._confidence(logits, head_logit))

    def sample_masks(self, members: int, seed: int) -> list[Masks]:
        """Masks of `members` sub-networks, one set for all samples (consistent MC dropout).

        After Kirsch et al. 2019 (BatchBALD): what a member says of one sample depends on no other sample.
        The masks are drawn on the CPU, so that they are the same on every device.
        """
        generator = torch.Generator().manual_seed(seed)
        device = self.classifier.weight.device
        return [
            Masks(
                _mask(_TRUNK_SHAPE, self.trunk_dropout.p, generator).to(device),
                _mask((FEATURES,), self.feature_dropout.p, generator).to(device),
            )
            for _ in range(members)
        ]

    def _confidence(self, logits: Tensor, head_logit: Tensor) -> Tensor:
        if self.family == "deep-gamblers":  # 1 - p(reservation) in the softmax over classes + 1
            return torch.sigmoid(torch.logsumexp(logits, dim=1) - head_logit)
        return torch.sigmoid(head_logit)


def build_network(family: str, classes: int) -> ConfidenceNetwork:
    """An untrained network of a family; the last linear layer is `network.classifier`."""
    return ConfidenceNetwork(family, classes)


def load_network(path: Path, family: str, classes: int, device: str = "cpu") -> ConfidenceNetwork:
    """A trained network from a safetensors file, in evaluation mode."""
    from safetensors.torch import load_file

    network = build_network(family, classes)
    network.load_state_dict(load_file(path))
    return network.to(device).eval()


def to_inputs(images: npt.NDArray[np.uint8], mean: float, std: float) -> Tensor:
    """Images (n, 28, 28) of 0..255 as inputs (n, 1, 28, 28), float32; mean and standard deviation in units of white."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float()[:, None]
    return (pixels / 255.0 - mean) / std


def _head(family: str) -> nn.Sequential:
    if family != "deep-gamblers":
        return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return nn.Sequential(nn.Linear(FEATURES, 1))


def _mask(shape: tuple[int, ...], dropped: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) >= dropped).float() / (1.0 - dropped)

"""Classifiers of the query track: an encoder, dropout on its features, and a head of one or two layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from harness.spec.query import ClassifierTraining

_LARGEST_FOR_SMALL_STEM = 64  # pixels; larger images get the stem for ImageNet


class EncoderClassifier(nn.Module):
    """Logits (n, classes) of images (n, c, h, w). Dropout is nowhere but on what the head sees."""

    def __init__(self, encoder: nn.Module, width: int, classes: int, head_layers: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        hidden = [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()] if head_layers == 2 else []
        self.head = nn.Sequential(*hidden, nn.Linear(width, classes))
        self.width = width

    def features(self, inputs: Tensor) -> Tensor:
        """The encoder's (n, width), without dropout: what the head sees."""
        encoded: Tensor = self.encoder(inputs)
        return encoded

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(inputs)))
        return logits

    def committee(self, features: Tensor, masks: np.ndarray) -> Tensor:
        """Probabilities (members, classes, n) of features (n, width) under masks (members, width)."""
        kept = torch.from_numpy(masks).to(features.device)
        return torch.stack([self.head(features * mask).softmax(dim=1).T for mask in kept])


def build_classifier(
    training: ClassifierTraining, shape: Sequence[int], classes: int, dropout: float
) -> EncoderClassifier:
    """An untrained network for images of a shape (c, h, w), initialised from torch's global generator."""
    encoder, width = build_encoder(training, shape)
    return EncoderClassifier(encoder, width, classes, training.head_layers, dropout)


def build_encoder(training: ClassifierTraining, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """An untrained encoder of images of a shape (c, h, w), and the number of its features."""
    encoder, width = _ENCODERS[training.network](shape)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return encoder, width


def dropout_masks(members: int, width: int, dropout: float, entropy: Sequence[int]) -> np.ndarray:
    """Masks (members, width) float32 of sub-networks, one set for all images: consistent Monte-Carlo dropout.

    What a member says of one image depends on no other (Kirsch et al. 2019, BatchBALD). Drawn by numpy, so that they
    are the same on every device; already divided by the probability to keep.
    """
    kept = np.random.default_rng(list(entropy)).random((members, width)) >= dropout
    return (kept / (1 - dropout)).astype(np.float32)


def _small_cnn(shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Three convolutions with stride 2 and a linear layer; 47,866 weights with a head for 28x28 digits.

    Not pooled: where a stroke is tells digits apart, and few labels do not teach a network to find that out.
    """
    widths, features = (shape[0], 16, 32, 32), 64
    layers: list[nn.Module] = []
    for before, after, kernel in zip(widths, widths[1:], (5, 3, 3), strict=False):
        layers += [_convolution(before, after, 2, kernel), nn.BatchNorm2d(after), nn.ReLU()]
    left = math.prod(math.ceil(side / 8) for side in shape[1:])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(left * widths[-1], features), nn.ReLU()), features


def _resnet_18(shape: Sequence[int]) -> tuple[nn.Module, int]:
    """He et al. 2016. Small images keep their size through the stem, which has 3x3 weights and no pooling."""
    small = max(shape[1:]) <= _LARGEST_FOR_SMALL_STEM
    first = _convolution(shape[0], 64) if small else _convolution(shape[0], 64, 2, 7)
    stem = [first, nn.BatchNorm2d(64), nn.ReLU(), *([] if small else [nn.MaxPool2d(3, 2, padding=1)])]
    blocks: list[nn.Module] = []
    before = 64
    for after in (64, 128, 256, 512):
        blocks += [_Block(before, after, 1 if before == after else 2), _Block(after, after, 1)]
        before = after
    return nn.Sequential(*stem, *blocks, *_pooled()), before


def _wide_resnet_28(factor: int) -> Callable[[Sequence[int]], tuple[nn.Module, int]]:
    """Zagoruyko & Komodakis 2016: 28 layers, of 16, 32 and 64 times `factor` channels."""

    def build(shape: Sequence[int]) -> tuple[nn.Module, int]:
        blocks: list[nn.Module] = [_convolution(shape[0], 16)]
        before = 16
        for after, stride in ((16 * factor, 1), (32 * factor, 2), (64 * factor, 2)):
            blocks += [_WideBlock(before, after, stride), *(_WideBlock(after, after, 1) for _ in range(3))]
            before = after
        return nn.Sequential(*blocks, nn.BatchNorm2d(before), nn.ReLU(), *_pooled()), before

    return build


_ENCODERS: dict[str, Callable[[Sequence[int]], tuple[nn.Module, int]]] = {
    "small-cnn": _small_cnn,
    "resnet-18": _resnet_18,
    "wide-resnet-28-2": _wide_resnet_28(2),
    "wide-resnet-28-8": _wide_resnet_28(8),
}


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; normalised after each convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(before, after, stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            _convolution(after, after),
            nn.BatchNorm2d(after),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(_convolution(before, after, stride, 1), nn.BatchNorm2d(after))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        summed: Tensor = self.body(inputs) + self.shortcut(inputs)
        return summed.relu()


class _WideBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; normalised before each convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.body = nn.Sequential(
            _convolution(before, after, stride), nn.BatchNorm2d(after), nn.ReLU(), _convolution(after, after)
        )
        self.shortcut = None if before == after else _convolution(before, after, stride, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        active = self.first(inputs)
        passed: Tensor = inputs if self.shortcut is None else self.shortcut(active)
        summed: Tensor = passed + self.body(active)
        return summed


def _convolution(before: int, after: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)


def _pooled() -> tuple[nn.Module, nn.Module]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten()

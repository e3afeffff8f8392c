"""EfficientNet-B0 in two and three dimensions, and B4, with torchvision's names of parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from harness.tracks.zoo.blocks import Add
from harness.tracks.zoo.residual import SequentialClassifier


def efficientnet_b0(classes: int = 1000) -> nn.Module:
    """Images (n, 3, h, w). Tan & Le 2019."""
    return _efficientnet(_FLAT, nn.Conv2d(3, 32, 3, 2, padding=1, bias=False), _STAGES, classes)


def efficientnet_b4(classes: int = 1000) -> nn.Module:
    """Images (n, 3, h, w): B0 with 1.4 times the channels and 1.8 times the blocks. Tan & Le 2019."""
    stages = tuple(stage.scaled(width=1.4, depth=1.8) for stage in _STAGES)
    return _efficientnet(_FLAT, nn.Conv2d(3, 48, 3, 2, padding=1, bias=False), stages, classes, dropout=0.4)


def efficientnet3d_b0(classes: int = 2) -> nn.Module:
    """Volumes (n, 1, d, h, w). EfficientNet-B0 with cubic kernels, and the stem that LATEC gives it.

    That stem pads each side by 22 voxels, so that 28 x 28 x 28 become 70 x 33 x 33 and not 28 x 14 x 14.
    """
    return _efficientnet(_CUBIC, nn.Conv3d(1, 32, (3, 7, 7), (1, 2, 2), padding=22, bias=False), _STAGES, classes)


@dataclass(frozen=True)
class Parts:
    """What a network of two or three dimensions is made of."""

    convolution: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    pool: Callable[[int], nn.Module]

    def activated(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
        convolution = self.convolution(before, after, kernel, stride, groups=groups, bias=False)
        return nn.Sequential(convolution, self.norm(after), nn.SiLU())


@dataclass(frozen=True)
class Stage:
    """Blocks of one shape, of which only the first has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    depth: int

    def scaled(self, width: float, depth: float) -> Stage:
        """Channels become the nearest multiple of 8 that is no more than a tenth smaller."""
        wanted = self.channels * width
        channels = max(8, int(wanted + 4) // 8 * 8)
        channels += 8 if channels < 0.9 * wanted else 0
        return replace(self, channels=channels, depth=math.ceil(self.depth * depth))


_STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """Inverted bottleneck: expansion, depth-wise convolution, squeeze and excitation, projection."""

    def __init__(self, parts: Parts, stage: Stage, before: int, stride: int) -> None:
        super().__init__()
        hidden = before * stage.expansion
        expand = [parts.activated(before, hidden, 1)] if stage.expansion > 1 else []
        projection = parts.convolution(hidden, stage.channels, 1, bias=False)
        self.block = nn.Sequential(
            *expand,
            parts.activated(hidden, hidden, stage.kernel, stride, groups=hidden),
            SqueezeExcitation(parts, hidden, before // 4),
            nn.Sequential(projection, parts.norm(stage.channels)),
        )
        self.add = Add() if stride == 1 and before == stage.channels else None

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.block(inputs)
        return out if self.add is None else self.add(out, inputs)


class SqueezeExcitation(nn.Module):
    """Channels scaled by what a small network says of their means (Hu et al. 2018)."""

    def __init__(self, parts: Parts, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = parts.pool(1)
        self.fc1 = parts.convolution(channels, squeezed, 1)
        self.activation = nn.SiLU()
        self.fc2 = parts.convolution(squeezed, channels, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, inputs: Tensor) -> Tensor:
        factors: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(inputs)))))
        return inputs * factors


class PaddedConv3d(nn.Conv3d):
    """A convolution that pads as TensorFlow does for an even side: one more behind than in front."""

    def forward(self, inputs: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        return super().forward(nn.functional.pad(inputs, (total // 2, total - total // 2) * 3))


def _convolution2d(before: int, after: int, kernel: int, stride: int = 1, **options: Any) -> nn.Module:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, **options)


def _convolution3d(before: int, after: int, kernel: int, stride: int = 1, **options: Any) -> nn.Module:
    if stride > 1:
        return PaddedConv3d(before, after, kernel, stride, **options)
    return nn.Conv3d(before, after, kernel, padding=kernel // 2, **options)


_FLAT = Parts(_convolution2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
_CUBIC = Parts(_convolution3d, partial(nn.BatchNorm3d, eps=1e-3), nn.AdaptiveAvgPool3d)


def _efficientnet(
    parts: Parts, stem: nn.Conv2d | nn.Conv3d, stages: Sequence[Stage], classes: int, dropout: float = 0.2
) -> nn.Module:
    layers, before = [], stem.out_channels
    for stage in stages:
        first = MBConv(parts, stage, before, stage.stride)
        before = stage.channels
        layers.append(nn.Sequential(first, *(MBConv(parts, stage, before, 1) for _ in range(stage.depth - 1))))
    start = nn.Sequential(stem, parts.norm(stem.out_channels), nn.SiLU())
    return SequentialClassifier(
        features=nn.Sequential(start, *layers, parts.activated(before, 4 * before, 1)),
        avgpool=parts.pool(1),
        classifier=nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * before, classes)),
    )

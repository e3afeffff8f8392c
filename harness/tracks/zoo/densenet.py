"""DenseNet (Huang et al. 2017), with torchvision's names of parts."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from harness.tracks.zoo.dropout import SharedDropout
from harness.tracks.zoo.residual import SequentialClassifier


def densenet121(classes: int = 1000, channels: int = 3, dropout: float = 0.0) -> nn.Module:
    """Images (n, channels, h, w). dropout: behind each dense layer, of what it adds."""
    return _densenet((6, 12, 24, 16), 32, channels, dropout, classes)


def densenet161(classes: int = 1000, channels: int = 3, dropout: float = 0.0) -> nn.Module:
    """Images (n, channels, h, w). dropout: behind each dense layer, of what it adds."""
    return _densenet((6, 12, 36, 24), 48, channels, dropout, classes)


_BOTTLENECK = 4  # channels between the two convolutions of a layer, in units of those it adds


class DenseLayer(nn.Module):
    """All channels so far (n, c, h, w), and `growth` new ones behind them."""

    def __init__(self, before: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(before, _BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(_BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        self.dropout = SharedDropout(dropout) if dropout else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        new = self.conv1(self.relu1(self.norm1(inputs)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat([inputs, self.dropout(new)], dim=1)


def _densenet(depths: tuple[int, ...], growth: int, channels: int, dropout: float, classes: int) -> nn.Module:
    width = 2 * growth
    features: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(channels, width, 7, 2, padding=3, bias=False),
        norm0=nn.BatchNorm2d(width),
        relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, 2, padding=1),
    )
    for index, depth in enumerate(depths, start=1):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(1, depth + 1):
            block[f"denselayer{place}"] = DenseLayer(width, growth, dropout)
            width += growth
        features[f"denseblock{index}"] = nn.Sequential(block)
        if index < len(depths):
            features[f"transition{index}"] = _transition(width)
            width //= 2
    features["norm5"] = nn.BatchNorm2d(width)
    return SequentialClassifier(
        features=nn.Sequential(features),
        relu=nn.ReLU(),
        avgpool=nn.AdaptiveAvgPool2d(1),
        classifier=nn.Linear(width, classes),
    )


def _transition(width: int) -> nn.Module:
    """Half the channels, half the side."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            conv=nn.Conv2d(width, width // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, 2),
        )
    )

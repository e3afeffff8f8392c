"""ResNet50 for images and r3d_18 for volumes, with torchvision's names of parts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from harness.tracks.zoo.blocks import Add


def resnet50(classes: int = 1000) -> nn.Module:
    """Images (n, 3, h, w). He et al. 2016; as in torchvision with the stride in the 3x3 convolution ("V1.5")."""
    depths, widths = (3, 4, 6, 3), (64, 128, 256, 512)
    before = (64, *(4 * width for width in widths))
    layers = [
        _layer(Bottleneck, before[index], width, depths[index], 1 if index == 0 else 2)
        for index, width in enumerate(widths)
    ]
    return SequentialClassifier(
        conv1=nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, 2, padding=1),
        **{f"layer{index}": layer for index, layer in enumerate(layers, start=1)},
        avgpool=nn.AdaptiveAvgPool2d(1),
        fc=nn.Linear(before[-1], classes),
    )


def r3d_18(classes: int = 2, channels: int = 1) -> nn.Module:
    """Volumes (n, channels, d, h, w). Tran et al. 2018; LATEC's stem has 1 channel, that for videos 3."""
    widths = (64, 128, 256, 512)
    layers = [
        _layer(BasicBlock3d, before, after, 2, 1 if before == after else 2)
        for before, after in zip((64, *widths), widths, strict=False)
    ]
    stem = nn.Conv3d(channels, 64, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False)
    return SequentialClassifier(
        stem=nn.Sequential(stem, nn.BatchNorm3d(64), nn.ReLU()),
        **{f"layer{index}": layer for index, layer in enumerate(layers, start=1)},
        avgpool=nn.AdaptiveAvgPool3d(1),
        fc=nn.Linear(widths[-1], classes),
    )


class SequentialClassifier(nn.Sequential):
    """Named layers in a row; the last one classifies what is left of each sample."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__(OrderedDict(layers))

    def forward(self, inputs: Tensor) -> Tensor:
        *layers, last = self
        for layer in layers:
            inputs = layer(inputs)
        logits: Tensor = last(inputs.flatten(1))
        return logits


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside a shortcut; four times as many channels leave as `width`."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = self.expansion * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = _shortcut(nn.Conv2d, nn.BatchNorm2d, before, after, stride)
        self.add = Add()
        self.relu3 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        change = self.relu1(self.bn1(self.conv1(inputs)))
        change = self.relu2(self.bn2(self.conv2(change)))
        change = self.bn3(self.conv3(change))
        out: Tensor = self.relu3(self.add(change, self.downsample(inputs)))
        return out


class BasicBlock3d(nn.Module):
    """Two 3x3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU()
        )
        self.conv2 = nn.Sequential(nn.Conv3d(after, after, 3, padding=1, bias=False), nn.BatchNorm3d(after))
        self.downsample = _shortcut(nn.Conv3d, nn.BatchNorm3d, before, after, stride)
        self.add = Add()
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.relu(self.add(self.conv2(self.conv1(inputs)), self.downsample(inputs)))
        return out


def _layer(block: type[Bottleneck | BasicBlock3d], before: int, width: int, depth: int, stride: int) -> nn.Module:
    after = width * block.expansion
    return nn.Sequential(block(before, width, stride), *(block(after, width, 1) for _ in range(depth - 1)))


def _shortcut(
    convolution: Callable[..., nn.Module], norm: Callable[[int], nn.Module], before: int, after: int, stride: int
) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(convolution(before, after, 1, stride, bias=False), norm(after))

"""The two encoders for images of 32 x 32 pixels that FD-Shifts trains from scratch (Jaeger et al. 2023)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from harness.tracks.zoo.dropout import SharedDropout

_VGG13 = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))


def vgg13_encoder(dropout: bool) -> nn.Module:
    """Images (n, 3, 32, 32) to features (n, 512): VGG-13 (Simonyan & Zisserman 2015) with batch normalisation.

    dropout: with probability 0.3 behind the first convolution, 0.4 behind the first of each other pair, and 0.5 around
    a fully connected layer, which the network has only then. Parts are numbered as in FD-Shifts.
    """
    layers: list[nn.Module] = []
    before = 3
    for pair, widths in enumerate(_VGG13):
        for place, width in enumerate(widths):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            if dropout and place == 0:
                layers.append(SharedDropout(0.3 if pair == 0 else 0.4))
            before = width
        layers.append(nn.MaxPool2d(2))
    if dropout:
        layers += [SharedDropout(0.5), nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), SharedDropout(0.5)]
    else:
        layers += [nn.AvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def small_conv_encoder(dropout: bool) -> nn.Module:
    """Images (n, 3, 32, 32) to features (n, 512): three pairs of convolutions, whose images are mirrored at their edges.

    Each normalises behind its ReLU. dropout: with probability 0.3 behind each pair and behind the last layer.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = 3
    for pair, width in enumerate((32, 64, 128), start=1):
        for place in (2 * pair - 1, 2 * pair):
            layers[f"conv{place}"] = nn.Conv2d(before, width, 3, padding=1, padding_mode="reflect")
            layers[f"relu{place}"] = nn.ReLU()
            layers[f"bn{place}"] = nn.BatchNorm2d(width)
            before = width
        layers[f"maxpool{pair}"] = nn.MaxPool2d(2)
        if dropout:
            layers[f"dropout{pair}"] = SharedDropout(0.3)
    layers |= {"flatten": nn.Flatten(), "fc1": nn.Linear(128 * 4 * 4, 512), "relu7": nn.ReLU()}
    if dropout:
        layers["dropout4"] = SharedDropout(0.3)
    return nn.Sequential(layers)

"""Nine small classifiers, three for each modality, built so that every kind of attribution method can look inside.

No Flatten, nothing in place, every activation a module of its own, each module called once in `forward`, residuals
summed by `Add`, a last layer `classifier`, and no normalisation across the samples of a batch. The output of `pool`
is the inner representation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from harness.data.digits import POINTS, VOLUME_SIDE
from harness.data.embedded import SIDE
from harness.methods.context import Anatomy
from harness.spec.method import Architecture, Modality
from harness.tracks.zoo.blocks import Add, Transformer


@dataclass(frozen=True)
class Family:
    """An architecture for inputs of one modality, as `harness.data.digits` makes them."""

    name: str
    modality: Modality
    architecture: Architecture
    anatomy: Anatomy
    build: Callable[[int], nn.Module]  # from the number of classes


def build_network(family: str, classes: int = 10) -> nn.Module:
    """An untrained network of a family of `FAMILIES`; maps inputs (n, c, *spatial) to logits (n, classes)."""
    if family not in FAMILIES:
        raise ValueError(f"Unknown model family {family!r}; known are {', '.join(FAMILIES)}.")
    return FAMILIES[family].build(classes)


def load_network(path: Path, family: str, classes: int = 10, device: str = "cpu") -> nn.Module:
    """A trained network from a safetensors file, in evaluation mode."""
    from safetensors.torch import load_file

    network = build_network(family, classes)
    network.load_state_dict(load_file(path))
    return network.to(device).eval()


class ConvNet(nn.Module):
    """Convolutions, the first two of stride 2, and global average pooling, in two or three dimensions."""

    def __init__(self, dimensions: int, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise((1, *widths))):
            layers += [_convolution(dimensions, before, after, stride=2 if index < 2 else 1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.pool = _average(dimensions)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        pooled = self.pool(self.features(inputs))
        logits: Tensor = self.classifier(pooled.view(pooled.shape[:2]))
        return logits


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution of its own where the shape changes."""

    def __init__(self, dimensions: int, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(dimensions, before, after, stride)
        self.relu1 = nn.ReLU()
        self.conv2 = _convolution(dimensions, after, after)
        same = stride == 1 and before == after
        self.shortcut = None if same else _convolution(dimensions, before, after, stride, size=1)
        self.add = Add()
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        change = self.conv2(self.relu1(self.conv1(inputs)))
        kept = inputs if self.shortcut is None else self.shortcut(inputs)
        out: Tensor = self.relu2(self.add(change, kept))
        return out


class ResNet(nn.Module):
    """A convolution of stride 2 and residual blocks, the second of stride 2, in two or three dimensions."""

    def __init__(self, dimensions: int, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.stem = _convolution(dimensions, 1, widths[0], stride=2)
        self.relu = nn.ReLU()
        pairs = pairwise((widths[0], *widths))
        self.blocks = nn.Sequential(
            *(ResidualBlock(dimensions, *pair, stride=2 if index == 1 else 1) for index, pair in enumerate(pairs))
        )
        self.pool = _average(dimensions)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        pooled = self.pool(self.blocks(self.relu(self.stem(inputs))))
        logits: Tensor = self.classifier(pooled.view(pooled.shape[:2]))
        return logits


class SmallPointNet(nn.Module):
    """The same small network for each point, and the maximum over points (Qi et al. 2017), twice.

    In place of transforms of its input, the second network is also told the first maximum: what there is in all.
    """

    def __init__(self, widths: tuple[int, ...], features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.local = _pointwise(3, *widths)
        self.overview = nn.AdaptiveMaxPool1d(1)
        self.mix_local = nn.Conv1d(widths[-1], widths[-1], 1)
        self.mix_overview = nn.Conv1d(widths[-1], widths[-1], 1)
        self.add = Add()
        self.relu1 = nn.ReLU()
        self.features = _pointwise(widths[-1], features)
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.hidden = nn.Linear(features, hidden)
        self.relu2 = nn.ReLU()
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, points: Tensor) -> Tensor:
        local = self.local(points)
        mixed = self.add(self.mix_local(local), self.mix_overview(self.overview(local)))
        pooled = self.pool(self.features(self.relu1(mixed)))[:, :, 0]
        logits: Tensor = self.classifier(self.relu2(self.hidden(pooled)))
        return logits


class EdgeConv(nn.Module):
    """max over neighbours j of ReLU(A x_i + B (x_j - x_i)) (Wang et al. 2019).

    Written as ReLU((A - B) x_i + max B x_j), the same because ReLU rises: points are multiplied, not edges.
    """

    def __init__(self, before: int, after: int, neighbours: int) -> None:
        super().__init__()
        self.centre = nn.Conv1d(before, after, 1)
        self.neighbour = nn.Conv1d(before, after, 1)
        self.maximum = nn.MaxPool1d(neighbours)
        self.add = Add()
        self.relu = nn.ReLU()

    def forward(self, features: Tensor, graph: Tensor) -> Tensor:
        """Features (n, before, p) and neighbours of each point (n, p, k) to (n, after, p)."""
        seen = self.neighbour(features)
        edges = seen.gather(2, graph.flatten(1)[:, None].expand(-1, seen.shape[1], -1))  # (n, after, p * k)
        largest = self.maximum(edges)
        out: Tensor = self.relu(self.add(self.centre(features), largest))
        return out


class SmallDGCNN(nn.Module):
    """Edge convolutions over the nearest neighbours of each point in space, and the maximum over points."""

    def __init__(self, widths: tuple[int, ...], neighbours: int, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        pairs = pairwise((3, *widths))
        self.edges = nn.ModuleList(EdgeConv(before, after, neighbours) for before, after in pairs)
        self.features = nn.Conv1d(sum(widths), features, 1)
        self.relu1 = nn.ReLU()
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.hidden = nn.Linear(features, hidden)
        self.relu2 = nn.ReLU()
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, points: Tensor) -> Tensor:
        graph = nearest(points, self.neighbours)
        found, features = [], points
        for edge in self.edges:
            features = edge(features, graph)
            found.append(features)
        pooled = self.pool(self.relu1(self.features(torch.cat(found, dim=1))))[:, :, 0]
        logits: Tensor = self.classifier(self.relu2(self.hidden(pooled)))
        return logits


def nearest(points: Tensor, count: int) -> Tensor:
    """The nearest other points of each of points (n, 3, p), as indices (n, p, count)."""
    places = points.detach().transpose(1, 2)
    distances = torch.cdist(places, places)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return distances.topk(count, largest=False, sorted=False).indices


_PATCH = 4  # pixels or voxels from one token to the next
_STEM = 16  # channels in the middle of the token embedding


def _vision_transformer(dimensions: int, side: int, dim: int, depth: int, heads: int, classes: int) -> Transformer:
    """Tokens are made by two convolutions of stride 2 (Xiao et al. 2021), which need far less training data."""
    stem = _convolution(dimensions, 1, _STEM, stride=2), nn.ReLU(), _convolution(dimensions, _STEM, dim, stride=2)
    return Transformer(nn.Sequential(*stem), (side // _PATCH) ** dimensions, dim, depth, heads, classes)


def _point_transformer(dim: int, depth: int, heads: int, classes: int) -> Transformer:
    stem = nn.Conv1d(3, dim, 1), nn.ReLU(), nn.Conv1d(dim, dim, 1)
    return Transformer(nn.Sequential(*stem), 0, dim, depth, heads, classes)


_CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


def _convolution(dimensions: int, before: int, after: int, stride: int = 1, size: int = 3) -> nn.Module:
    return _CONVOLUTIONS[dimensions](before, after, size, stride, padding=size // 2)


def _pointwise(*widths: int) -> nn.Sequential:
    """Layers that treat each point by itself."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Conv1d(*pair, 1), nn.ReLU())))


def _average(dimensions: int) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1) if dimensions == 2 else nn.AdaptiveAvgPool3d(1)


def _transformer_anatomy(depth: int, *grid: int, cam: bool = True) -> Anatomy:
    last = f"blocks.{depth - 1}.norm1" if cam else None
    return Anatomy(cam_layer=last, blocks="blocks", grid=grid, representation="pool")


_CNN = Anatomy(cam_layer="features", representation="pool")
_RESNET = Anatomy(cam_layer="blocks", representation="pool")
_CLOUD = Anatomy(representation="pool")
_PIXELS, _VOXELS = (SIDE // _PATCH,) * 2, (VOLUME_SIDE // _PATCH,) * 3

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("cnn", "image", "cnn", _CNN, partial(ConvNet, 2, (16, 32, 64))),
            Family("resnet", "image", "cnn", _RESNET, partial(ResNet, 2, (12, 32, 48))),
            Family(
                "vit",
                "image",
                "transformer",
                _transformer_anatomy(3, *_PIXELS),
                partial(_vision_transformer, 2, SIDE, 32, 3, 4),
            ),
            Family("cnn3d", "volume", "cnn", _CNN, partial(ConvNet, 3, (12, 24, 48))),
            Family("resnet3d", "volume", "cnn", _RESNET, partial(ResNet, 3, (8, 16, 32))),
            Family(
                "vit3d",
                "volume",
                "transformer",
                _transformer_anatomy(3, *_VOXELS),
                partial(_vision_transformer, 3, VOLUME_SIDE, 32, 3, 4),
            ),
            Family("pointnet", "point-cloud", "cnn", _CLOUD, partial(SmallPointNet, (32, 64), 128, 64)),
            Family("dgcnn", "point-cloud", "cnn", _CLOUD, partial(SmallDGCNN, (24, 32), 4, 128, 64)),
            Family(
                "point-transformer",
                "point-cloud",
                "transformer",
                _transformer_anatomy(2, POINTS, cam=False),
                partial(_point_transformer, 32, 2, 2),
            ),
        )
    }
)

"""Dynamic graph CNN (Wang et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NEIGHBOURS = 20


def dgcnn(classes: int = 40) -> nn.Module:
    """Point clouds (n, 3, p) of at least 20 points."""
    return DGCNN(classes)


class DGCNN(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = EdgeConvolution(3, 64)
        self.conv2 = EdgeConvolution(64, 64)
        self.conv3 = EdgeConvolution(64, 128)
        self.conv4 = EdgeConvolution(128, 256)
        self.conv5 = nn.Sequential(nn.Conv1d(512, 1024, 1, bias=False), nn.BatchNorm1d(1024), nn.ReLU())
        self.max_pool = nn.AdaptiveMaxPool1d(1)
        self.avg_pool = nn.AdaptiveAvgPool1d(1)
        self.linear1 = nn.Linear(2 * 1024, 512, bias=False)
        self.bn6 = nn.BatchNorm1d(512)
        self.act6 = nn.LeakyReLU(0.2)
        self.linear2 = nn.Linear(512, 256)
        self.bn7 = nn.BatchNorm1d(256)
        self.act7 = nn.LeakyReLU(0.2)
        self.linear3 = nn.Linear(256, classes)

    def forward(self, points: Tensor) -> Tensor:
        found, features = [], points
        for edges in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = edges(features)
            found.append(features)
        features = self.conv5(torch.cat(found, dim=1))
        features = torch.cat([self.max_pool(features), self.avg_pool(features)], dim=1)[:, :, 0]
        features = self.act6(self.bn6(self.linear1(features)))
        logits: Tensor = self.linear3(self.act7(self.bn7(self.linear2(features))))
        return logits


class EdgeConvolution(nn.Sequential):
    """(n, before, p) to (n, after, p): the maximum over the edges to each point's neighbours in feature space."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(2 * before, after, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d((1, _NEIGHBOURS)),
        )

    def forward(self, features: Tensor) -> Tensor:
        features = _edges(features)
        for layer in self:
            features = layer(features)
        return features[:, :, :, 0]


def _edges(features: Tensor) -> Tensor:
    """(n, 2 c, p, k) of features (n, c, p): how each of k neighbours, itself among them, differs from a point, and the
    point."""
    n, channels, points = features.shape
    places = features.detach().transpose(1, 2)
    graph = torch.cdist(places, places).topk(_NEIGHBOURS, largest=False, sorted=False).indices
    graph = graph.view(n, 1, -1).expand(-1, channels, -1)
    neighbours = features.gather(2, graph).view(n, channels, points, _NEIGHBOURS)
    centre = features[:, :, :, None].expand_as(neighbours)
    return torch.cat([neighbours - centre, centre], dim=1)

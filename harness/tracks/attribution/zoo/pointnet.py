"""PointNet with its two learned transforms (Qi et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pointnet(classes: int = 40) -> nn.Module:
    """Point clouds (n, 3, p)."""
    return PointNet(classes)


class PointNet(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.transform = Transform()
        self.fc1 = nn.Linear(1024, 512)
        self.bn1 = nn.BatchNorm1d(512)
        self.act1 = nn.ReLU()
        self.fc2 = nn.Linear(512, 256)
        self.bn2 = nn.BatchNorm1d(256)
        self.act2 = nn.ReLU()
        self.fc3 = nn.Linear(256, classes)

    def forward(self, points: Tensor) -> Tensor:
        features = self.act1(self.bn1(self.fc1(self.transform(points))))
        logits: Tensor = self.fc3(self.act2(self.bn2(self.fc2(features))))
        return logits


class Transform(nn.Module):
    """Features (n, 1024) of a cloud (n, 3, p): the same small network for each point, then the maximum over points."""

    def __init__(self) -> None:
        super().__init__()
        self.input_transform = AlignmentNetwork(3)
        self.feature_transform = AlignmentNetwork(64)
        self.conv1 = nn.Conv1d(3, 64, 1)
        self.bn1 = nn.BatchNorm1d(64)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv1d(64, 128, 1)
        self.bn2 = nn.BatchNorm1d(128)
        self.act2 = nn.ReLU()
        self.conv3 = nn.Conv1d(128, 1024, 1)
        self.bn3 = nn.BatchNorm1d(1024)
        self.pool = nn.AdaptiveMaxPool1d(1)

    def forward(self, points: Tensor) -> Tensor:
        features = self.act1(self.bn1(self.conv1(_aligned(points, self.input_transform(points)))))
        features = _aligned(features, self.feature_transform(features))
        features = self.bn3(self.conv3(self.act2(self.bn2(self.conv2(features)))))
        pooled: Tensor = self.pool(features)[:, :, 0]
        return pooled


class AlignmentNetwork(nn.Module):
    """A matrix (n, size, size) for features (n, size, p), near the identity ("T-Net")."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.conv1 = nn.Conv1d(size, 64, 1)
        self.bn1 = nn.BatchNorm1d(64)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv1d(64, 128, 1)
        self.bn2 = nn.BatchNorm1d(128)
        self.act2 = nn.ReLU()
        self.conv3 = nn.Conv1d(128, 1024, 1)
        self.bn3 = nn.BatchNorm1d(1024)
        self.act3 = nn.ReLU()
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.fc1 = nn.Linear(1024, 512)
        self.bn4 = nn.BatchNorm1d(512)
        self.act4 = nn.ReLU()
        self.fc2 = nn.Linear(512, 256)
        self.bn5 = nn.BatchNorm1d(256)
        self.act5 = nn.ReLU()
        self.fc3 = nn.Linear(256, size**2)

    def forward(self, features: Tensor) -> Tensor:
        features = self.act1(self.bn1(self.conv1(features)))
        features = self.act2(self.bn2(self.conv2(features)))
        features = self.act3(self.bn3(self.conv3(features)))
        features = self.act4(self.bn4(self.fc1(self.pool(features)[:, :, 0])))
        change: Tensor = self.fc3(self.act5(self.bn5(self.fc2(features))))
        identity = torch.eye(self.size, dtype=change.dtype, device=change.device)
        return change.view(-1, self.size, self.size) + identity


def _aligned(features: Tensor, matrix: Tensor) -> Tensor:
    """Each point's features, a row vector, times the matrix."""
    return matrix.transpose(1, 2) @ features

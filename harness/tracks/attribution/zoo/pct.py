"""Point cloud transformer with offset attention (Guo et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.tracks.zoo.blocks import Add

_NEIGHBOURS = 32


def pct(classes: int = 40, mixes_channels: bool = False) -> nn.Module:
    """Point clouds (n, 3, p) of at least 512 points.

    mixes_channels: multiply attention with channels in the place of points. There are 256 of each, so that this
    fails nowhere; it is what LATEC's code does.
    """
    return PCT(classes, mixes_channels)


class PCT(nn.Module):
    """Two samplings and groupings, then four layers of offset attention among 256 points.

    The farthest-point sampling begins at the point that is farthest from the centre, not at one drawn at random, so
    that a cloud has one answer, whatever the order of its points.
    """

    def __init__(self, classes: int, mixes_channels: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(3, 64, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(64)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv1d(64, 64, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(64)
        self.act2 = nn.ReLU()
        self.gather_local_0 = Grouping(128)
        self.gather_local_1 = Grouping(256)
        self.pt_last = OffsetAttentions(256, mixes_channels)
        self.conv_fuse = nn.Sequential(nn.Conv1d(5 * 256, 1024, 1, bias=False), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2))
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.linear1 = nn.Linear(1024, 512, bias=False)
        self.bn6 = nn.BatchNorm1d(512)
        self.act6 = nn.LeakyReLU(0.2)
        self.linear2 = nn.Linear(512, 256)
        self.bn7 = nn.BatchNorm1d(256)
        self.act7 = nn.LeakyReLU(0.2)
        self.linear3 = nn.Linear(256, classes)

    def forward(self, points: Tensor) -> Tensor:
        features = self.act2(self.bn2(self.conv2(self.act1(self.bn1(self.conv1(points))))))
        points, features = self.gather_local_0(points, features, 512)
        _, features = self.gather_local_1(points, features, 256)
        features = self.conv_fuse(torch.cat([self.pt_last(features), features], dim=1))
        features = self.act6(self.bn6(self.linear1(self.pool(features)[:, :, 0])))
        logits: Tensor = self.linear3(self.act7(self.bn7(self.linear2(features))))
        return logits


class Grouping(nn.Module):
    """Fewer points that speak for their neighbourhoods, with twice as many features as before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(channels)
        self.act2 = nn.ReLU()
        self.pool = nn.AdaptiveMaxPool1d(1)

    def forward(self, points: Tensor, features: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Points (n, 3, p) and features (n, c, p) to those of `count` points, with 2 c features."""
        chosen = farthest(points, count)
        kept, centre = _taken(points, chosen), _taken(features, chosen)
        places, every = kept.detach().transpose(1, 2), points.detach().transpose(1, 2)
        graph = torch.cdist(places, every).topk(_NEIGHBOURS, largest=False, sorted=False).indices
        near = _taken(features, graph.flatten(1)).unflatten(2, (count, _NEIGHBOURS))
        group = torch.cat([near - centre[..., None], centre[..., None].expand_as(near)], dim=1)
        group = group.transpose(1, 2).flatten(0, 1)  # each neighbourhood a sample: (n * count, 2 c, k)
        group = self.act2(self.bn2(self.conv2(self.act1(self.bn1(self.conv1(group))))))
        return kept, self.pool(group)[:, :, 0].unflatten(0, (-1, count)).transpose(1, 2)


class OffsetAttentions(nn.Module):
    """Four layers of attention, the outputs of all of which are returned: (n, c, t) to (n, 4 c, t)."""

    def __init__(self, channels: int, mixes_channels: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(channels)
        self.act2 = nn.ReLU()
        self.sa1 = OffsetAttention(channels, mixes_channels)
        self.sa2 = OffsetAttention(channels, mixes_channels)
        self.sa3 = OffsetAttention(channels, mixes_channels)
        self.sa4 = OffsetAttention(channels, mixes_channels)

    def forward(self, features: Tensor) -> Tensor:
        features = self.act2(self.bn2(self.conv2(self.act1(self.bn1(self.conv1(features))))))
        found = []
        for attention in (self.sa1, self.sa2, self.sa3, self.sa4):
            features = attention(features)
            found.append(features)
        return torch.cat(found, dim=1)


class OffsetAttention(nn.Module):
    """What a point has and its attention has not goes through a layer and is added: (n, c, t) to (n, c, t).

    Queries and keys are the same. Attention is a soft-max over the points attended to, then scaled so that what each
    of these gives away sums to 1.
    """

    def __init__(self, channels: int, mixes_channels: bool) -> None:
        super().__init__()
        self.mixes_channels = mixes_channels
        self.k_conv = nn.Conv1d(channels, channels // 4, 1, bias=False)
        self.v_conv = nn.Conv1d(channels, channels, 1)
        self.trans_conv = nn.Conv1d(channels, channels, 1)
        self.after_norm = nn.BatchNorm1d(channels)
        self.act = nn.ReLU()
        self.add = Add()

    def forward(self, features: Tensor) -> Tensor:
        keys, values = self.k_conv(features), self.v_conv(features)
        # No module: DeepLift's rule for soft-max divides by differences that may be tiny here, layer after layer.
        attention = (keys.transpose(1, 2) @ keys).softmax(dim=-1)
        attention = attention / (1e-9 + attention.sum(dim=1, keepdim=True))
        attended = attention @ values if self.mixes_channels else values @ attention
        change = self.act(self.after_norm(self.trans_conv(features - attended)))
        out: Tensor = self.add(features, change)
        return out


def farthest(points: Tensor, count: int) -> Tensor:
    """Indices (n, count) of points (n, 3, p): the farthest from the centre, then each the farthest from all chosen."""
    places = points.detach()
    distance = (places - places.mean(dim=2, keepdim=True)).square().sum(dim=1)
    chosen = [distance.argmax(dim=1)]
    distance = torch.full_like(distance, torch.inf)
    for _ in range(count - 1):
        last = _taken(places, chosen[-1][:, None])
        distance = torch.minimum(distance, (places - last).square().sum(dim=1))
        chosen.append(distance.argmax(dim=1))
    return torch.stack(chosen, dim=1)


def _taken(values: Tensor, indices: Tensor) -> Tensor:
    """(n, c, m) of values (n, c, p) at indices (n, m)."""
    return values.gather(2, indices[:, None].expand(-1, values.shape[1], -1))

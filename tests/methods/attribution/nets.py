"""Small networks of every modality and architecture, and the surroundings that methods are called in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.methods.context import Anatomy, Context

CLASSES, SIDE, VOLUME_SIDE, POINTS = 5, 16, 8, 32
SHAPES = {"image": (3, SIDE, SIDE), "volume": (1, *(VOLUME_SIDE,) * 3), "point-cloud": (3, POINTS)}
NO_ANATOMY = Anatomy()
KINDS = [(modality, architecture) for modality in SHAPES for architecture in ("cnn", "transformer")]


class Add(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Cnn(nn.Module):
    """Convolution, a residual one, global average, linear: `features` are what the last two see."""

    def __init__(self, dimensions: int = 2, channels: int = 3, bias: bool = True) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
        self.stem = nn.Sequential(conv(channels, 6, 3, stride=2, padding=1, bias=bias), nn.ReLU())
        self.change = nn.Sequential(conv(6, 6, 3, padding=1, bias=bias), norm(6) if bias else nn.Identity())
        self.shortcut = nn.Identity()
        self.add = Add()
        self.features = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1) if dimensions == 2 else nn.AdaptiveAvgPool3d(1)
        self.classifier = nn.Linear(6, CLASSES, bias=bias)

    def forward(self, inputs: Tensor) -> Tensor:
        first = self.stem(inputs)
        features = self.features(self.add(self.change(first), self.shortcut(first)))
        return self.classifier(self.pool(features).flatten(1))


class PointNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(3, 8, 1), nn.ReLU(), nn.Conv1d(8, 16, 1), nn.ReLU())
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.classifier = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES))

    def forward(self, points: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(points))[:, :, 0])


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        n, t, dim = tokens.shape
        query, key, value = self.qkv(tokens).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        probabilities = self.softmax(query @ key.transpose(-2, -1) / (dim // self.heads) ** 0.5)
        return self.projection((probabilities @ value).transpose(1, 2).reshape(n, t, dim))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Transformer(nn.Module):
    def __init__(self, embed: nn.Module, tokens: int, dim: int = 12, heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.embed = embed
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(0.3 * torch.randn(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def tokens(self, inputs: Tensor) -> Tensor:
        tokens = self.embed(inputs).flatten(2).transpose(1, 2) + self.positions
        return torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(inputs)))[:, 0])


def network(modality: str, architecture: str) -> tuple[nn.Module, Anatomy]:
    """A random network in evaluation mode, the same each time, and its anatomy."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if architecture == "cnn":
            net = PointNet() if modality == "point-cloud" else Cnn(2, 3) if modality == "image" else Cnn(3, 1)
            anatomy = Anatomy(cam_layer=None if modality == "point-cloud" else "features")
            return net.eval(), anatomy
        embed, grid = {
            "image": (nn.Conv2d(3, 12, 4, stride=4), (4, 4)),
            "volume": (nn.Conv3d(1, 12, 4, stride=4), (2, 2, 2)),
            "point-cloud": (nn.Conv1d(3, 12, 1), (POINTS,)),
        }[modality]
        net = Transformer(embed, tokens=int(torch.tensor(grid).prod()))
        cam = None if modality == "point-cloud" else "blocks.1.norm1"
        return net.eval(), Anatomy(cam_layer=cam, blocks="blocks", grid=grid)


def samples(modality: str, count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs (count, c, *spatial) of both signs and targets (count,)."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn((count, *SHAPES[modality]), generator=generator)
    return inputs, torch.randint(CLASSES, (count,), generator=generator)


def surroundings(model: nn.Module, modality: str, architecture: str, anatomy: Anatomy = NO_ANATOMY, **options):
    """A context with a background set of 20 inputs."""
    options.setdefault("background", samples(modality, 20, seed=1)[0])
    return Context(model, modality, architecture, anatomy=anatomy, **options)

"""DeiT-S for images, Simple3D-Former, which is DeiT-S over cells of a volume, and ViT-B/16."""

from __future__ import annotations

from torch import Tensor, nn

from harness.tracks.zoo.blocks import Add, Transformer
from harness.tracks.zoo.dropout import SharedDropout

_SMALL, _BASE = (384, 12, 6), (768, 12, 12)  # dim, depth, heads


def deit_small(classes: int = 1000) -> nn.Module:
    """Images (n, 3, 224, 224): 14 x 14 tokens of 16 x 16 pixels. Touvron et al. 2021, without distillation token."""
    return _as_published(Transformer(nn.Conv2d(3, _SMALL[0], 16, 16), 14**2, *_SMALL, classes))


def simple_3dformer(classes: int = 2) -> nn.Module:
    """Volumes (n, 1, 28, 28, 28): 7 x 7 x 7 tokens of 4 x 4 x 4 voxels. Wang et al. 2022."""
    return _as_published(Transformer(nn.Conv3d(1, _SMALL[0], 4, 4), 7**3, *_SMALL, classes))


def vit_b16(classes: int = 1000, image_size: int = 224, dropout: float = 0.0) -> nn.Module:
    """Images (n, 3, image_size, image_size), tokens of 16 x 16 pixels. Dosovitskiy et al. 2021.

    dropout: where timm's `drop_rate` puts it: behind the positions, each attention and each layer of the MLPs.
    """
    network = VisionTransformer(nn.Conv2d(3, _BASE[0], 16, 16), (image_size // 16) ** 2, *_BASE, classes)
    if dropout:
        network.dropout = SharedDropout(dropout)
        for block in network.blocks:
            block.add1, block.add2 = DroppingAdd(dropout), DroppingAdd(dropout)
    return _as_published(network, dropout)


class VisionTransformer(Transformer):
    """A transformer with dropout on its tokens."""

    dropout: SharedDropout | None = None

    def embed(self, inputs: Tensor) -> Tensor:
        tokens = super().embed(inputs)
        return tokens if self.dropout is None else self.dropout.forward(tokens)


class DroppingAdd(Add):
    """A residual sum with dropout on what is added."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = SharedDropout(dropout)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + self.dropout.forward(second)


def _as_published(network: Transformer, dropout: float = 0.0) -> Transformer:
    """With hidden layers four times as wide as tokens, and the epsilon of the published ones."""
    dim = network.classifier.in_features
    for block in network.blocks:
        hidden = nn.Sequential(nn.GELU(), SharedDropout(dropout)) if dropout else nn.GELU()
        block.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), hidden, nn.Linear(4 * dim, dim))
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    return network

"""DeiT-S for images, and Simple3D-Former, which is DeiT-S over cells of a volume."""

from __future__ import annotations

from torch import nn

from harness.tracks.attribution.networks import Transformer

_DIM, _DEPTH, _HEADS = 384, 12, 6


def deit_small(classes: int = 1000) -> nn.Module:
    """Images (n, 3, 224, 224): 14 x 14 tokens of 16 x 16 pixels. Touvron et al. 2021, without distillation token."""
    return _small(nn.Conv2d(3, _DIM, 16, 16), 14**2, classes)


def simple_3dformer(classes: int = 2) -> nn.Module:
    """Volumes (n, 1, 28, 28, 28): 7 x 7 x 7 tokens of 4 x 4 x 4 voxels. Wang et al. 2022."""
    return _small(nn.Conv3d(1, _DIM, 4, 4), 7**3, classes)


def _small(tokens: nn.Module, positions: int, classes: int) -> nn.Module:
    network = Transformer(tokens, positions, _DIM, _DEPTH, _HEADS, classes)
    for block in network.blocks:
        block.mlp = nn.Sequential(nn.Linear(_DIM, 4 * _DIM), nn.GELU(), nn.Linear(4 * _DIM, _DIM))
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    return network

"""The nine architectures that LATEC explains (Klein et al. 2024), as factories `classes -> nn.Module`.

Sub-modules are named as where the architectures come from (torchvision for ResNet50, EfficientNet-B0 and r3d_18), so
that published weights fit, some after `released_names` or `timm_names`. Unlike there, nothing works in place and no
activation is shared by two places, because methods that hook into activations (guided backpropagation, DeepLift,
LRP) would otherwise see the wrong values.
"""

from harness.tracks.attribution.zoo.dgcnn import dgcnn
from harness.tracks.attribution.zoo.names import released_names
from harness.tracks.attribution.zoo.pct import pct
from harness.tracks.attribution.zoo.pointnet import pointnet
from harness.tracks.zoo.efficientnet import efficientnet3d_b0, efficientnet_b0
from harness.tracks.zoo.names import timm_names
from harness.tracks.zoo.residual import r3d_18, resnet50
from harness.tracks.zoo.vision_transformers import deit_small, simple_3dformer

__all__ = [
    "deit_small",
    "dgcnn",
    "efficientnet3d_b0",
    "efficientnet_b0",
    "pct",
    "pointnet",
    "r3d_18",
    "released_names",
    "resnet50",
    "simple_3dformer",
    "timm_names",
]

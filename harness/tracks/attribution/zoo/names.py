"""Names of weights: from those of LATEC's checkpoints to those of the architectures here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.tracks.zoo.names import timm_names

if TYPE_CHECKING:
    from torch import Tensor


def released_names(architecture: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a checkpoint of LATEC as the factory of this name here names them.

    Its prefixes `model.` and `module.` go; ResNet50, EfficientNet-B0, r3d_18 and PointNet need no more than that.
    """
    state = {re.sub(r"\b(model|module)\.", "", name): value for name, value in state.items()}
    if architecture in ("deit_small", "simple_3dformer"):
        return timm_names({name.replace(".conv3d_1.", "."): value for name, value in state.items()})
    if architecture == "efficientnet3d_b0":
        return {_efficientnet3d(name): value for name, value in state.items()}
    if architecture == "pct":  # queries and keys share their weights
        return {name: value for name, value in state.items() if ".q_conv." not in name}
    return state


_EFFICIENTNET3D = {
    "_conv_stem": "features.0.0",
    "_bn0": "features.0.1",
    "_conv_head": "features.8.0",
    "_bn1": "features.8.1",
    "_fc": "classifier.1",
}
_MBCONV = {
    "_expand_conv": (-1, ".0"),
    "_bn0": (-1, ".1"),
    "_depthwise_conv": (0, ".0"),
    "_bn1": (0, ".1"),
    "_se_reduce": (1, ".fc1"),
    "_se_expand": (1, ".fc2"),
    "_project_conv": (2, ".0"),
    "_bn2": (2, ".1"),
}
_PLACES = [(stage, place) for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1), start=1) for place in range(depth)]


def _efficientnet3d(name: str) -> str:
    if found := re.match(r"_blocks\.(\d+)\.(\w+?)\.(.+)", name):
        block, part, rest = int(found[1]), found[2], found[3]
        (stage, place), (step, inner) = _PLACES[block], _MBCONV[part]
        position = step if block == 0 else step + 1  # the first block does not expand
        return f"features.{stage}.{place}.block.{position}{inner}.{rest}"
    part, _, rest = name.partition(".")
    return f"{_EFFICIENTNET3D[part]}.{rest}"

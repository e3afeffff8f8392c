"""Names of weights of vision transformers: from timm's to those of the architectures here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a vision transformer of timm (or DeiT's own repository) as `Transformer` names them."""
    return {_renamed(name, _TIMM): value for name, value in state.items()}


_TIMM = {
    "cls_token": "class_token",
    "pos_embed": "positions",
    r"patch_embed\.proj\.": "tokens.",
    r"(blocks\.\d+)\.attn\.proj\.": r"\1.attention.projection.",
    r"(blocks\.\d+)\.attn\.": r"\1.attention.",
    r"(blocks\.\d+)\.mlp\.fc1\.": r"\1.mlp.0.",
    r"(blocks\.\d+)\.mlp\.fc2\.": r"\1.mlp.2.",
    r"head\.": "classifier.",
}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for pattern, new in names.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", new, name)
    return name

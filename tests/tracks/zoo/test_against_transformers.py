"""Networks against independent implementations with the same weights, where these are installed."""

from __future__ import annotations

import re

import pytest
import torch

from harness.tracks.zoo.names import timm_names
from harness.tracks.zoo.residual import resnet50
from harness.tracks.zoo.vision_transformers import vit_b16

transformers = pytest.importorskip("transformers")
CLASSES = 5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_resnet50_computes_the_same():
    config = transformers.ResNetConfig(num_labels=CLASSES)
    theirs = transformers.ResNetForImageClassification(config).eval()
    for norm in theirs.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    patterns = {
        r"resnet\.embedder\.embedder\.convolution\.": "conv1.",
        r"resnet\.embedder\.embedder\.normalization\.": "bn1.",
        r"resnet\.encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.convolution\.": r"layer\1.\2.downsample.0.",
        r"resnet\.encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.normalization\.": r"layer\1.\2.downsample.1.",
        r"resnet\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.convolution\.": r"layer\1.\2.conv\3.",
        r"resnet\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.normalization\.": r"layer\1.\2.bn\3.",
        r"classifier\.1\.": "fc.",
    }
    state = {}
    for name, value in theirs.state_dict().items():
        pattern = next(each for each in patterns if re.match(each, name))
        own = re.sub(pattern, patterns[pattern], name)
        own = re.sub(r"layer(\d)", lambda found: f"layer{int(found[1]) + 1}", own)
        own = re.sub(r"\.(conv|bn)(\d)\.", lambda found: f".{found[1]}{int(found[2]) + 1}.", own)
        state[own] = value
    ours = resnet50(CLASSES).eval()
    ours.load_state_dict(state)
    inputs = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs).logits)


def test_vit_b16_computes_the_same():
    config = transformers.ViTConfig(image_size=64, num_labels=CLASSES, layer_norm_eps=1e-6)
    theirs = transformers.ViTForImageClassification(config).eval()
    ours = vit_b16(CLASSES, image_size=64).eval()
    ours.load_state_dict(timm_names(_timm(theirs.state_dict())))
    inputs = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs).logits, rtol=1e-4, atol=1e-5)


def _timm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of timm, which keeps queries, keys and values in one matrix."""
    names = {
        r"vit\.embeddings\.cls_token": "cls_token",
        r"vit\.embeddings\.position_embeddings": "pos_embed",
        r"vit\.embeddings\.patch_embeddings\.projection\.": "patch_embed.proj.",
        r"vit\.layers\.(\d+)\.attention\.o_proj\.": r"blocks.\1.attn.proj.",
        r"vit\.layers\.(\d+)\.layernorm_before\.": r"blocks.\1.norm1.",
        r"vit\.layers\.(\d+)\.layernorm_after\.": r"blocks.\1.norm2.",
        r"vit\.layers\.(\d+)\.mlp\.": r"blocks.\1.mlp.",
        r"vit\.layernorm\.": "norm.",
        r"classifier\.": "head.",
    }
    found = {}
    for name, value in state.items():
        for pattern in (each for each in names if re.match(each, name)):
            found[re.sub(pattern, names[pattern], name)] = value
        if joined := re.fullmatch(r"vit\.layers\.(\d+)\.attention\.q_proj\.(\w+)", name):
            parts = [state[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            found[f"blocks.{joined[1]}.attn.qkv.{joined[2]}"] = torch.cat(parts)
    return found

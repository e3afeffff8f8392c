"""The nine architectures: published sizes and names of weights, independent formulas, and fitness for attribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.tracks.attribution import zoo
from harness.tracks.attribution.zoo.dgcnn import _edges
from harness.tracks.attribution.zoo.pct import OffsetAttention, farthest
from harness.tracks.zoo.efficientnet import PaddedConv3d

CLASSES = 5
SHAPES = {
    "resnet50": (3, 32, 32),
    "efficientnet_b0": (3, 32, 32),
    "deit_small": (3, 224, 224),
    "r3d_18": (1, 12, 12, 12),
    "efficientnet3d_b0": (1, 4, 4, 4),
    "simple_3dformer": (1, 28, 28, 28),
    "pointnet": (3, 64),
    "dgcnn": (3, 64),
    "pct": (3, 520),
}
CLOUDS = ("pointnet", "dgcnn", "pct")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def built(name, **arguments):
    """Double precision, and statistics of batches as training might leave them."""
    network = getattr(zoo, name)(classes=CLASSES, **arguments).eval().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize(
    ("name", "arguments", "published"),
    [
        ("resnet50", {"classes": 1000}, 25_557_032),  # the first four: torchvision's and timm's documentation
        ("efficientnet_b0", {"classes": 1000}, 5_288_548),
        ("deit_small", {"classes": 1000}, 22_050_664),
        ("r3d_18", {"classes": 400, "channels": 3}, 33_371_472),
        ("pointnet", {"classes": 40}, 3.47e6),  # the last two: table 5 of Guo et al. 2021
        ("pct", {"classes": 40}, 2.88e6),
    ],
)
def test_as_many_weights_as_published(name, arguments, published):
    with torch.device("meta"):
        network = getattr(zoo, name)(**arguments)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == published if isinstance(published, int) else count == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_depend_on_each_sample_alone_and_gradients_reach_it(name):
    network = built(name)
    inputs = torch.rand(2, *SHAPES[name], dtype=torch.float64, requires_grad=True)
    logits = network(inputs)
    assert logits.shape == (2, CLASSES)
    torch.testing.assert_close(network(inputs[1:].detach()), logits[1:].detach())
    (gradient,) = torch.autograd.grad(logits[0, 1], inputs)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_works_in_place_and_no_part_is_used_twice(name):
    network = built(name)
    parts = {module: part for part, module in network.named_modules() if not list(module.children())}
    assert not [part for module, part in parts.items() if getattr(module, "inplace", False)]
    calls = dict.fromkeys(parts.values(), 0)
    for module, part in parts.items():
        module.register_forward_hook(lambda *_, part=part: calls.update({part: calls[part] + 1}))
    network(torch.rand(1, *SHAPES[name], dtype=torch.float64))
    assert {part: count for part, count in calls.items() if count != 1} == {}


@pytest.mark.parametrize("name", ["resnet50", "r3d_18", "dgcnn"])
def test_deep_lift_explains_all_of_the_difference(name):
    """Its completeness fails where an activation is shared by two places."""
    captum = pytest.importorskip("captum.attr")
    network, targets = built(name), torch.tensor([0, 1])
    inputs = torch.rand(2, *SHAPES[name], dtype=torch.float64)
    difference = (network(inputs) - network(torch.zeros_like(inputs)))[torch.arange(2), targets].detach()
    maps = captum.DeepLift(network).attribute(inputs, target=targets)
    torch.testing.assert_close(maps.flatten(1).sum(dim=1).detach(), difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "arguments"), [*((name, {}) for name in CLOUDS), ("pct", {"mixes_channels": True})])
def test_the_order_of_points_changes_nothing(name, arguments):
    network = built(name, **arguments)
    cloud, other = torch.randn(2, 1, *SHAPES[name], dtype=torch.float64)
    logits = network(cloud)
    torch.testing.assert_close(network(cloud[:, :, torch.randperm(cloud.shape[2])]), logits)
    assert (network(other) - logits).abs().max() > 1e-4 * logits.abs().max()


def test_farthest_points_by_brute_force():
    cloud = torch.randn(2, 3, 40, dtype=torch.float64)
    for places, chosen in zip(cloud.numpy(), farthest(cloud, 12).tolist(), strict=True):
        centre = places.mean(axis=1)
        expected = [max(range(40), key=lambda point: np.linalg.norm(places[:, point] - centre))]
        while len(expected) < 12:
            expected.append(
                max(range(40), key=lambda point: min(np.linalg.norm(places[:, point] - places[:, e]) for e in expected))
            )
        assert chosen == expected


def test_edges_by_brute_force():
    features = torch.randn(1, 4, 30, dtype=torch.float64)
    edges, points = _edges(features)[0], features[0].numpy().T
    for point in range(30):
        near = np.argsort(np.linalg.norm(points - points[point], axis=1))[:20]
        expected = {tuple(np.round([*(points[other] - points[point]), *points[point]], 9)) for other in near}
        assert {tuple(np.round(edge, 9)) for edge in edges[:, point].numpy().T} == expected


@pytest.mark.parametrize("mixes_channels", [False, True])
def test_offset_attention_by_formula(mixes_channels):
    layer = OffsetAttention(8, mixes_channels).double().eval()
    features = torch.randn(1, 8, 8, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    x = features[0].numpy()
    keys = weights["k_conv.weight"][:, :, 0] @ x
    values = weights["v_conv.weight"][:, :, 0] @ x + weights["v_conv.bias"][:, None]
    attended = np.zeros((8, 8))
    attention = np.array([[np.exp(keys[:, i] @ keys[:, j]) for j in range(8)] for i in range(8)])
    attention /= attention.sum(axis=1, keepdims=True)
    attention /= attention.sum(axis=0, keepdims=True)
    for row in range(8):
        for column in range(8):
            for k in range(8):
                pair = (attention[row, k] * values[k, column], values[row, k] * attention[k, column])
                attended[row, column] += pair[0 if mixes_channels else 1]
    changed = weights["trans_conv.weight"][:, :, 0] @ (x - attended) + weights["trans_conv.bias"][:, None]
    expected = x + np.maximum(changed / np.sqrt(1 + layer.after_norm.eps), 0)
    np.testing.assert_allclose(layer(features)[0].detach().numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("kernel", [3, 5])
def test_strides_pad_one_more_behind(kernel):
    layer = PaddedConv3d(1, 1, kernel, 2, bias=False).double()
    inputs = torch.randn(1, 1, 8, 8, 8, dtype=torch.float64)
    front, behind = {3: (0, 1), 5: (1, 2)}[kernel]
    padded = torch.zeros(1, 1, *[8 + front + behind] * 3, dtype=torch.float64)
    padded[:, :, front : front + 8, front : front + 8, front : front + 8] = inputs
    torch.testing.assert_close(layer(inputs), F.conv3d(padded, layer.weight, stride=2))
    assert layer(inputs).shape[2:] == (4, 4, 4)


def timm_state(tokens):
    """Names and shapes of `vit_small_patch16_224` in timm."""
    shapes = {"cls_token": (1, 1, 384), "pos_embed": (1, 1 + tokens, 384)}
    shapes |= {"patch_embed.proj.weight": (384, 3, 16, 16), "patch_embed.proj.bias": (384,)}
    for block in range(12):
        linear = {"attn.qkv": (1152, 384), "attn.proj": (384, 384), "mlp.fc1": (1536, 384), "mlp.fc2": (384, 1536)}
        for part, shape in linear.items():
            shapes |= {f"blocks.{block}.{part}.weight": shape, f"blocks.{block}.{part}.bias": shape[:1]}
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{part}.{kind}": (384,) for kind in ("weight", "bias")}
    shapes |= {"norm.weight": (384,), "norm.bias": (384,), "head.weight": (CLASSES, 384), "head.bias": (CLASSES,)}
    return {name: torch.randn(shape, dtype=torch.float64) * 0.05 for name, shape in shapes.items()}


def vision_transformer(state, image):
    """The forward pass of timm's vision transformer, written down from its weights."""
    tokens = F.conv2d(image, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16)
    tokens = torch.cat([state["cls_token"], tokens.flatten(2).transpose(1, 2)], dim=1) + state["pos_embed"]
    linear = lambda x, name: F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])  # noqa: E731
    norm = lambda x, name: F.layer_norm(x, (384,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)  # noqa: E731
    for block in (f"blocks.{index}" for index in range(12)):
        parts = linear(norm(tokens, f"{block}.norm1"), f"{block}.attn.qkv").split(384, dim=-1)
        query, key, value = (part.unflatten(-1, (6, 64)).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + linear(attended, f"{block}.attn.proj")
        hidden = F.gelu(linear(norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1"))
        tokens = tokens + linear(hidden, f"{block}.mlp.fc2")
    return linear(norm(tokens, "norm")[:, 0], "head")


@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_of_timm_mean_the_same_here(prefix):
    state, network = timm_state(14 * 14), built("deit_small")
    given = {prefix + name: value for name, value in state.items()}
    network.load_state_dict(zoo.timm_names(given) if not prefix else zoo.released_names("deit_small", given))
    image = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    torch.testing.assert_close(network(image).detach(), vision_transformer(state, image))


def torchvision_resnet50():
    names = ["conv1.weight", "fc.weight", "fc.bias", *batch_norm("bn1")]
    for layer, depth in enumerate((3, 4, 6, 3), start=1):
        for block in (f"layer{layer}.{index}" for index in range(depth)):
            for part in (1, 2, 3):
                names += [f"{block}.conv{part}.weight", *batch_norm(f"{block}.bn{part}")]
            if block.endswith(".0"):
                names += [f"{block}.downsample.0.weight", *batch_norm(f"{block}.downsample.1")]
    return names


def torchvision_r3d_18():
    names = ["stem.0.weight", "fc.weight", "fc.bias", *batch_norm("stem.1")]
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            for part in ("conv1", "conv2", *(["downsample"] if layer > 1 and block == 0 else [])):
                names += [f"layer{layer}.{block}.{part}.0.weight", *batch_norm(f"layer{layer}.{block}.{part}.1")]
    return names


def torchvision_efficientnet_b0():
    names = ["classifier.1.weight", "classifier.1.bias"]
    for part in ("features.0", "features.8"):
        names += [f"{part}.0.weight", *batch_norm(f"{part}.1")]
    for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1), start=1):
        for block in (f"features.{stage}.{index}.block" for index in range(depth)):
            squeeze = 1 if stage == 1 else 2
            for part in {0, 1, 2, 3} - {squeeze} - ({3} if stage == 1 else set()):
                names += [f"{block}.{part}.0.weight", *batch_norm(f"{block}.{part}.1")]
            names += [f"{block}.{squeeze}.{part}.{kind}" for part in ("fc1", "fc2") for kind in ("weight", "bias")]
    return names


def batch_norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


@pytest.mark.parametrize("names", [torchvision_resnet50, torchvision_r3d_18, torchvision_efficientnet_b0])
def test_parts_are_named_as_in_torchvision(names):
    name = names.__name__.removeprefix("torchvision_")
    assert set(getattr(zoo, name)().state_dict()) == set(names())


def released_efficientnet3d():
    """Names and shapes of weights in the package that LATEC takes its three-dimensional EfficientNet from."""
    shapes = {"_conv_stem.weight": (32, 1, 3, 7, 7), "_conv_head.weight": (1280, 320, 1, 1, 1)}
    shapes |= {"_fc.weight": (CLASSES, 1280), "_fc.bias": (CLASSES,)}
    norms = {"_bn0": 32, "_bn1": 1280}
    stages = ((1, 1, 3, 32, 16), (2, 6, 3, 16, 24), (2, 6, 5, 24, 40), (3, 6, 3, 40, 80), (3, 6, 5, 80, 112), (4, 6, 5, 112, 192), (1, 6, 3, 192, 320))  # fmt: skip
    index = 0
    for depth, expansion, kernel, before, after in stages:
        for place in range(depth):
            given, block = before if place == 0 else after, f"_blocks.{index}"
            hidden, squeezed = given * expansion, max(1, int(given * 0.25))
            if expansion > 1:
                shapes[f"{block}._expand_conv.weight"] = (hidden, given, 1, 1, 1)
                norms[f"{block}._bn0"] = hidden
            shapes[f"{block}._depthwise_conv.weight"] = (hidden, 1, kernel, kernel, kernel)
            shapes[f"{block}._project_conv.weight"] = (after, hidden, 1, 1, 1)
            norms |= {f"{block}._bn1": hidden, f"{block}._bn2": after}
            shapes |= {
                f"{block}._se_reduce.weight": (squeezed, hidden, 1, 1, 1),
                f"{block}._se_reduce.bias": (squeezed,),
            }
            shapes |= {f"{block}._se_expand.weight": (hidden, squeezed, 1, 1, 1), f"{block}._se_expand.bias": (hidden,)}
            index += 1
    for name, channels in norms.items():
        shapes |= dict.fromkeys(batch_norm(name)[:4], (channels,)) | {f"{name}.num_batches_tracked": ()}
    return {f"model.{name}": torch.randn(shape) for name, shape in shapes.items()}


def test_released_weights_of_the_three_dimensional_efficientnet_fit():
    state, network = released_efficientnet3d(), zoo.efficientnet3d_b0(CLASSES)
    network.load_state_dict(zoo.released_names("efficientnet3d_b0", state))
    fourth, last = network.get_submodule("features.3.0.block.1.0"), network.get_submodule("features.7.0.block.0.0")
    assert torch.equal(fourth.weight, state["model._blocks.3._depthwise_conv.weight"])
    assert torch.equal(last.weight, state["model._blocks.15._expand_conv.weight"])


def test_released_weights_of_other_architectures_fit():
    given = {f"model.{name}": value for name, value in zoo.pct(CLASSES).state_dict().items()}
    given |= {name.replace("k_conv", "q_conv"): value for name, value in given.items() if "k_conv" in name}
    zoo.pct(CLASSES).load_state_dict(zoo.released_names("pct", given))
    cells = timm_state(7**3) | {"patch_embed.proj.bias": torch.zeros(384)}
    del cells["patch_embed.proj.weight"], cells["patch_embed.proj.bias"]
    cells |= {"patch_embed.proj.conv3d_1.weight": torch.zeros(384, 1, 4, 4, 4)}
    cells |= {"patch_embed.proj.conv3d_1.bias": torch.zeros(384)}
    zoo.simple_3dformer(CLASSES).load_state_dict(zoo.released_names("simple_3dformer", cells))
    for name in ("resnet50", "r3d_18", "pointnet"):
        own = getattr(zoo, name)(CLASSES)
        own.load_state_dict(zoo.released_names(name, {f"model.{key}": each for key, each in own.state_dict().items()}))

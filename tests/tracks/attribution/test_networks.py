"""The nine embedded networks: what attribution methods need of them, and that they know digits."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.digits import digits
from harness.data.embedded import mnist_5k
from harness.methods.context import Context
from harness.tracks.attribution.networks import FAMILIES, EdgeConv, build_network, load_network, nearest
from harness.tracks.attribution.training import (
    VARIANTS,
    accuracy,
    fuse_norms,
    insert_norms,
    make_splits,
    train_network,
)
from harness.tracks.zoo.blocks import TransformerBlock

FOLDER = Path(__file__).parents[3] / "datasets" / "attribution-mnist"
SPLITS = json.loads((FOLDER / "splits.json").read_text())
SHAPES = {"image": (1, 28, 28), "volume": (1, 16, 16, 16), "point-cloud": (3, 256)}
LEAST = {"image": (0.93, 0.88), "volume": (0.88, 0.80), "point-cloud": (0.85, 0.78)}  # plain, distractor
CLOUDS = [name for name, family in FAMILIES.items() if family.modality == "point-cloud"]
TRANSFORMERS = [name for name, family in FAMILIES.items() if family.architecture == "transformer"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loaded(family):
    return load_network(FOLDER / "models" / f"{family}.safetensors", family)


def inputs_of(family, variant="plain", count=4):
    chosen = np.array(SPLITS["observations"][:count])
    return torch.from_numpy(digits(FAMILIES[family].modality, variant, chosen).inputs)


def test_the_splits_are_disjoint_stratified_and_mixed():
    labels = mnist_5k()[1]
    parts = {name: part for name, part in SPLITS.items() if name != "background"}
    sizes = {"train": 3500, "validation": 500, "observations": 60, "test": 940}
    assert {name: len(part) for name, part in parts.items()} == sizes
    assert sorted(np.concatenate(list(parts.values()))) == list(range(5000))
    for part in parts.values():  # any leading part has the classes in equal shares
        assert labels[part].tolist() == list(range(10)) * (len(part) // 10)
    assert len(SPLITS["background"]) == 16
    assert set(SPLITS["background"]) <= set(SPLITS["train"])
    assert np.bincount(labels[SPLITS["background"]]).tolist() == [2] * 6 + [1] * 4
    assert make_splits(labels) == SPLITS


def test_three_families_for_each_modality_of_which_the_last_is_a_transformer():
    kinds = [(family.modality, family.architecture) for family in FAMILIES.values()]
    assert kinds == [(modality, kind) for modality in SHAPES for kind in ("cnn", "cnn", "transformer")]
    assert all(name == family.name for name, family in FAMILIES.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_is_small_and_knows_digits_as_well_as_its_card_says(family):
    path = FOLDER / "models" / f"{family}.safetensors"
    assert path.stat().st_size < 400_000
    network = loaded(family)
    assert not network.training
    card = re.search(rf"^\| `{family}` .*\| ([\d.]+) \| ([\d.]+) \|$", (FOLDER / "README.md").read_text(), re.M)
    assert card is not None
    for variant, stated, least in zip(VARIANTS, card.groups(), LEAST[FAMILIES[family].modality], strict=True):
        reached = accuracy(network, family, variant, SPLITS["test"])
        assert reached >= least
        assert 100 * reached == pytest.approx(float(stated), abs=0.25)  # 2 of 940: other processors, other ties
        assert accuracy(network, family, variant, SPLITS["observations"]) >= least - 0.1  # only 60


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_suits_attribution_methods(family):
    network = loaded(family)
    calls = Counter()
    leaves = {name: module for name, module in network.named_modules() if not list(module.children())}
    for name, module in leaves.items():
        assert not isinstance(module, nn.Flatten | nn.modules.batchnorm._BatchNorm)
        assert not getattr(module, "inplace", False)
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    inputs = inputs_of(family)
    before = inputs.clone()
    assert network(inputs).shape == (4, 10)
    assert calls == dict.fromkeys(leaves, 1)
    assert torch.equal(inputs, before)
    assert list(leaves)[-1] == "classifier"
    assert isinstance(network.classifier, nn.Linear)
    assert build_network(family, 3)(inputs).shape == (4, 3)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in TRANSFORMERS])
def test_all_activations_are_modules(family):
    """Where every ReLU module passes everything, a network without other maxima is linear."""
    network = loaded(family)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU | nn.AdaptiveMaxPool1d | nn.MaxPool1d):
            stand_in = nn.Identity() if isinstance(module, nn.ReLU) else nn.AdaptiveAvgPool1d(1)
            if isinstance(module, nn.MaxPool1d):
                stand_in = nn.AvgPool1d(module.kernel_size)
            network.get_submodule(name.rpartition(".")[0])._modules[name.rpartition(".")[2]] = stand_in
    x = inputs_of(family)
    zero = network(torch.zeros_like(x)) if family != "dgcnn" else None
    if zero is None:  # the graph of neighbours must stay as it is: only scale
        assert torch.allclose(network(2 * x) - network(x), network(3 * x) - network(2 * x), atol=1e-2, rtol=1e-3)
    else:
        left = network(x[:2] + 2 * x[2:]) - zero[:2]
        right = (network(x[:2]) - zero[:2]) + 2 * (network(x[2:]) - zero[:2])
        assert torch.allclose(left, right, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_input_and_no_other_sample(family, variant):
    network, inputs = loaded(family), inputs_of(family, variant).requires_grad_()
    (gradient,) = torch.autograd.grad(network(inputs)[:, 3].sum(), inputs)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().sum(dim=1) > 0).all()
    (first,) = torch.autograd.grad(network(inputs)[0, 3], inputs)
    assert (first[1:] == 0).all()
    if FAMILIES[family].modality != "point-cloud":  # a maximum over points follows a few of them only
        assert (gradient != 0).float().mean() > 0.9


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_do_not_depend_on_the_batch(family):
    network, inputs = loaded(family), inputs_of(family, count=20)
    with torch.inference_mode():
        alone = torch.cat([network(each[None]) for each in inputs])
        assert torch.allclose(network(inputs), alone, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_anatomy_names_what_it_says(family):
    described, network = FAMILIES[family], loaded(family)
    anatomy = described.anatomy
    seen = {}
    for name in filter(None, (anatomy.cam_layer, anatomy.representation)):
        network.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    last = {}
    network.classifier.register_forward_pre_hook(lambda _m, given: last.update(features=given[0]))
    network(inputs_of(family))
    representation = seen[anatomy.representation].flatten(1)
    assert representation.shape[0] == 4
    if "hidden" not in dict(network.named_children()):
        assert torch.equal(representation, last["features"])
    cells = {"image": (7, 7), "volume": (4, 4, 4)}
    if described.modality == "point-cloud":
        assert anatomy.cam_layer is None
    elif described.architecture == "cnn":
        activations = seen[anatomy.cam_layer]
        assert activations.shape[2:] == cells[described.modality]
        assert torch.allclose(activations.flatten(2).mean(dim=2), representation, atol=1e-5)  # pooled next
    else:
        assert anatomy.grid == cells[described.modality]
        assert seen[anatomy.cam_layer].shape[:2] == (4, 1 + np.prod(anatomy.grid))


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_blocks_compute_pre_norm_attention(family):
    """Against torch's own multi-head attention with the same weights."""
    network, described = loaded(family), FAMILIES[family]
    context = Context(network, described.modality, described.architecture, anatomy=described.anatomy)
    blocks = context.blocks
    assert blocks == list(network.blocks)
    assert np.prod(context.grid) + 1 == (257 if described.modality == "point-cloud" else network.positions.shape[1])
    block = blocks[-1]
    assert isinstance(block, TransformerBlock)
    dim, heads = block.norm1.normalized_shape[0], block.attention.heads
    assert block.attention.qkv.weight.shape == (3 * dim, dim)
    assert [type(each) for each in block.mlp] == [nn.Linear, nn.GELU, nn.Linear]
    reference = nn.MultiheadAttention(dim, heads, batch_first=True)
    reference.in_proj_weight, reference.in_proj_bias = block.attention.qkv.weight, block.attention.qkv.bias
    reference.out_proj = block.attention.projection
    seen = []
    block.attention.softmax.register_forward_hook(lambda _m, _i, out: seen.append(out))
    x = torch.randn(2, 9, dim, generator=torch.Generator().manual_seed(0))
    normed = block.norm1(x)
    attended, probabilities = reference(normed, normed, normed, average_attn_weights=False)
    middle = x + attended
    assert torch.allclose(block(x), middle + block.mlp(block.norm2(middle)), atol=1e-5)
    assert seen[0].shape == (2, heads, 9, 9)
    assert torch.allclose(seen[0], probabilities, atol=1e-6)


@pytest.mark.parametrize("family", CLOUDS)
def test_the_order_of_points_does_not_matter(family):
    network, points = loaded(family), inputs_of(family, "distractor", count=10)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(network(points[:, :, order]), network(points), atol=1e-3)
        assert (network(points[:, :, order].flip(1)) - network(points)).abs().max() > 1  # that of axes does


def test_an_edge_convolution_is_the_maximum_over_edges():
    torch.manual_seed(0)
    layer, features = EdgeConv(3, 5, 4), torch.randn(2, 3, 30)
    points = torch.rand(2, 3, 30)
    graph = nearest(points, 4)
    b = layer.neighbour.weight[:, :, 0]
    a = layer.centre.weight[:, :, 0] + b
    bias = layer.centre.bias + layer.neighbour.bias
    for sample in range(2):
        for i in range(30):
            away = (points[sample] - points[sample, :, i : i + 1]).norm(dim=0)
            away[i] = torch.inf
            own = away.argsort()[:4]
            assert set(graph[sample, i].tolist()) == set(own.tolist())
            x = features[sample]
            edges = [torch.relu(a @ x[:, i] + b @ (x[:, j] - x[:, i]) + bias) for j in own]
            assert torch.allclose(layer(features, graph)[sample, :, i], torch.stack(edges).amax(dim=0), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_fusing_normalisations_changes_no_logit(family):
    torch.manual_seed(0)
    network, inputs = build_network(family), inputs_of(family)
    names = list(network.state_dict())
    insert_norms(network)
    for _ in range(3):
        network.train()(inputs)  # moves the running statistics
    network.eval()
    before = network(inputs)
    assert any("running_mean" in name for name in network.state_dict())
    fuse_norms(network)
    assert list(network.state_dict()) == names
    assert torch.allclose(network(inputs), before, atol=1e-4)


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="perceptron"):
        build_network("perceptron")


@pytest.mark.slow
def test_training_again_reaches_the_accuracy_of_the_card():
    network = train_network("cnn", np.array(SPLITS["train"]))
    for variant in VARIANTS:
        reached = accuracy(network, "cnn", variant, SPLITS["test"])
        assert reached == pytest.approx(accuracy(loaded("cnn"), "cnn", variant, SPLITS["test"]), abs=0.01)

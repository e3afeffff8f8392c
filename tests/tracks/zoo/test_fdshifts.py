"""FD-Shifts' classifiers: published sizes, forward passes by hand, released names, heads, Monte-Carlo dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.spec.errors import UsageError
from harness.tracks.zoo.dropout import SharedDropout, sub_network
from harness.tracks.zoo.fdshifts import NETWORKS, build_classifier, load_released
from tests.tracks.zoo.support import confidnet, deep_gamblers, devries, prefixed, saved, small_conv, vgg13

CLASSES = 7
SIDES = {"vgg13": 32, "svhn-small-conv": 32, "densenet161": 64, "vit-b16": 32}
CHANNELS = {"densenet161": 6}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def images(network: str, n: int = 2) -> torch.Tensor:
    side = SIDES.get(network, 64)
    return torch.randn(n, CHANNELS.get(network, 3), side, side)


def built(network: str, dropout: bool = True, head: str | None = None):
    """With statistics of batches and weights as training might leave them."""
    module = build_classifier(network, CLASSES, dropout=dropout, head=head, image_size=SIDES.get(network, 64)).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    return module


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("network", "image_size", "published"),
    [  # of ImageNet: torchvision's and timm's documentation
        ("resnet50", None, 25_557_032),
        ("densenet121", None, 7_978_856),
        ("densenet161", None, 28_681_000 + 3 * 96 * 7 * 7),  # a stem of six channels in place of three
        ("efficientnet-b4", None, 19_341_616),
        ("vit-b16", 224, 86_567_656),
        ("vit-b16", 384, 86_859_496),
        ("vit-b16", None, 86_859_496),
    ],
)
def test_as_many_weights_as_published(network, image_size, published):
    with torch.device("meta"):
        module = build_classifier(network, 1000, dropout=True, head=None, image_size=image_size)
    assert count(module) == published


def test_as_many_weights_as_vgg_13_and_the_small_network_need():
    widths = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)
    pairs = list(zip((3, *widths), widths, strict=False))
    expected = sum(9 * before * after + 3 * after for before, after in pairs)  # weights, bias, scale and shift
    with torch.device("meta"):
        assert count(build_classifier("vgg13", 10, dropout=False, head=None)) == expected + 513 * 10
        assert count(build_classifier("vgg13", 10, dropout=True, head=None)) == expected + 513 * 512 + 513 * 10
        widths = (32, 32, 64, 64, 128, 128)
        pairs = list(zip((3, *widths), widths, strict=False))
        expected = sum(9 * before * after + 3 * after for before, after in pairs) + 2049 * 512 + 513 * 10
        assert count(build_classifier("svhn-small-conv", 10, dropout=True, head=None)) == expected


@pytest.mark.parametrize("network", NETWORKS)
def test_shapes_and_that_no_sample_depends_on_another(network):
    module, inputs = built(network).double(), images(network).double()
    with torch.no_grad():
        features, logits, confidence = module.outputs(inputs)
        alone = module.outputs(inputs[1:])
    assert features.shape == (2, NETWORKS[network].features)
    assert logits.shape == (2, CLASSES)
    assert confidence is None
    torch.testing.assert_close(alone.logits, logits[1:])
    assert (logits[0] - logits[1]).abs().max() > 1e-2 * logits.abs().max()
    torch.testing.assert_close(module.logits_of(features), logits)
    weight, bias = module.last_layer
    torch.testing.assert_close(features @ weight.T + bias, logits)
    assert module.reservation.weight.shape == (0, features.shape[1])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_member_is_one_network_for_every_batch(network):
    module, inputs = built(network), images(network, 3)
    with torch.no_grad():
        still = module(inputs)
        with sub_network(module, seed=1, member=0):
            first, parts = module(inputs), torch.cat([module(inputs[:1]), module(inputs[1:])])
        with sub_network(module, seed=1, member=0):
            again = module(inputs)
        with sub_network(module, seed=1, member=1):
            second = module(inputs)
        with sub_network(module, seed=2, member=0):
            other = module(inputs)
    torch.testing.assert_close(parts, first, rtol=1e-4, atol=1e-4)
    assert torch.equal(again, first)
    assert torch.equal(module(inputs), still)  # all is switched off again
    for different in (second, other, still):
        assert (different - first).abs().max() > 1e-4 * still.abs().max()


@pytest.mark.parametrize("network", NETWORKS)
def test_only_dropout_acts_in_a_member(network):
    module, inputs = built(network, dropout=False), images(network)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad(), sub_network(module, seed=0, member=0):
        torch.testing.assert_close(module(inputs), module(inputs))
        assert not any(layer.training for layer in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_dropout_scales_what_it_keeps():
    layer, inputs = SharedDropout(0.25).eval(), torch.ones(2, 50_000)
    with sub_network(layer, seed=0, member=3):
        out = layer(inputs)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.01)  # 5 standard deviations
    assert torch.equal(out[0], out[1])
    assert not torch.equal(
        layer.train()(inputs)[0], layer(inputs)[1]
    )  # while training, each sample has a mask of its own


@pytest.mark.parametrize(
    ("network", "rates"),
    [
        ("vgg13", [0.3, 0.4, 0.4, 0.4, 0.4, 0.5, 0.5]),
        ("svhn-small-conv", [0.3] * 4),
        ("resnet50", [0.1] * 28),  # behind the stem and the pooling, and twice in 13 blocks of 16
        ("densenet121", [0.1] * 58),
        ("densenet161", [0.1] * 78),
        ("efficientnet-b4", [0.2]),
        ("vit-b16", [0.1] * 37),  # behind the positions, and thrice in 12 blocks
    ],
)
def test_where_dropout_acts(network, rates):
    with torch.device("meta"):
        module = build_classifier(network, 10, dropout=True, head=None)
        still = build_classifier(network, 10, dropout=False, head=None)
    assert sorted(each.p for each in module.modules() if isinstance(each, nn.Dropout)) == rates
    assert not [each for each in still.modules() if isinstance(each, nn.Dropout)]


def vgg13_by_hand(state, inputs):
    """Convolution, norm, ReLU; pooling behind each second; then the fully connected layer, if there is one."""
    places = sorted({int(name.split(".")[1]) for name in state})
    convolutions = [place for place in places if state[f"features.{place}.weight"].ndim == 4]
    for index, place in enumerate(convolutions):
        weight = [state[f"features.{place}.{part}"] for part in ("weight", "bias")]
        mean, var, scale, shift = (state[f"features.{place + 1}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))  # fmt: skip
        inputs = F.relu(F.batch_norm(F.conv2d(inputs, *weight, padding=1), mean, var, scale, shift))
        inputs = F.max_pool2d(inputs, 2) if index % 2 else inputs
    features = inputs.flatten(1)
    for place in (place for place in places if state[f"features.{place}.weight"].ndim == 2):
        features = F.relu(features @ state[f"features.{place}.weight"].T + state[f"features.{place}.bias"])
    return features


def small_conv_by_hand(state, inputs):
    for number in range(1, 7):
        weight = [state[f"conv{number}.net.1.{part}"] for part in ("weight", "bias")]
        inputs = F.relu(F.conv2d(F.pad(inputs, (1, 1, 1, 1), mode="reflect"), *weight))
        mean, var, scale, shift = (state[f"conv{number}_bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))  # fmt: skip
        inputs = F.batch_norm(inputs, mean, var, scale, shift)
        inputs = F.max_pool2d(inputs, 2) if number % 2 == 0 else inputs
    return F.relu(inputs.flatten(1) @ state["fc1.weight"].T + state["fc1.bias"])


def head_by_hand(state, features):
    for number in range(1, 6):
        name = f"network.confid_net.uncertainty{number}"
        features = features @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        features = features.relu() if number < 5 else features
    return torch.sigmoid(features[:, 0])


def encoders(network: str, dropout: bool):
    """Two encoders in released names, and the forward pass of such a one."""
    if network == "vgg13":
        return vgg13(dropout), vgg13(dropout), vgg13_by_hand
    return small_conv(), small_conv(), small_conv_by_hand


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("network", ["vgg13", "svhn-small-conv"])
def test_released_weights_with_confidnet_compute_what_they_should(tmp_path, network, dropout):
    encoder, own, forward = encoders(network, dropout)
    state, inputs = confidnet(encoder, own, CLASSES), images(network)
    module = build_classifier(network, CLASSES, dropout=dropout, head="confidnet")
    load_released(module, saved(tmp_path / "last.ckpt", state))
    with torch.no_grad():
        found = module.outputs(inputs)
    features = forward(encoder, inputs)
    assert (features[0] - features[1]).abs().max() > 0.1
    logits = features @ state["backbone._classifier.fc2.weight"].T + state["backbone._classifier.fc2.bias"]
    torch.testing.assert_close(found.features, features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)
    confidence = head_by_hand(state, forward(own, inputs))
    torch.testing.assert_close(found.confidence, confidence, rtol=1e-4, atol=1e-4)
    wrong = head_by_hand(state, features)  # of the classifier's features, which the head was not tuned for
    assert (wrong - confidence).abs().max() > 1e-3
    with pytest.raises(ValueError, match="give it the images"):
        module.confidence_of(found.features)


def test_confidnets_classifier_alone(tmp_path):
    state = confidnet(vgg13(False), vgg13(False), CLASSES)
    path = saved(tmp_path / "last.ckpt", state)
    alone = build_classifier("vgg13", CLASSES, dropout=False, head=None)
    both = build_classifier("vgg13", CLASSES, dropout=False, head="confidnet")
    load_released(alone, path)
    load_released(both, path)
    inputs = images("vgg13")
    assert torch.equal(alone(inputs), both(inputs))
    assert not alone.training


@pytest.mark.parametrize("older", [False, True])
def test_released_weights_of_devries(tmp_path, older):
    encoder = small_conv()
    state = devries(encoder, CLASSES)
    if older:
        state = {name.replace("._encoder", ".encoder").replace("._classifier", ".classifier"): value for name, value in state.items()}  # fmt: skip
    module = build_classifier("svhn-small-conv", CLASSES, dropout=True, head="devries")
    load_released(module, saved(tmp_path / "last.ckpt", state))
    inputs = images("svhn-small-conv")
    features = small_conv_by_hand(encoder, inputs)
    logit = features @ state["model.devries_net.uncertainty1.weight"][0] + state["model.devries_net.uncertainty1.bias"]
    torch.testing.assert_close(module.outputs(inputs).confidence, logit.sigmoid(), rtol=1e-4, atol=1e-4)
    assert torch.equal(module.confidence_of(module.encode(inputs)), module.outputs(inputs).confidence)


def test_released_weights_of_deep_gamblers(tmp_path):
    encoder = vgg13(True)
    state, inputs = deep_gamblers(encoder, CLASSES), images("vgg13")
    module = build_classifier("vgg13", CLASSES, dropout=True, head="deep-gamblers")
    load_released(module, saved(tmp_path / "last.ckpt", state))
    logits = (
        vgg13_by_hand(encoder, inputs) @ state["model._classifier.fc2.weight"].T + state["model._classifier.fc2.bias"]
    )
    found = module.outputs(inputs)
    torch.testing.assert_close(found.logits, logits[:, :CLASSES], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.confidence, 1 - logits.softmax(dim=1)[:, CLASSES], rtol=1e-4, atol=1e-5)
    assert module.last_layer.weight.shape == (CLASSES, 512)
    assert module.last_layer.bias.shape == (CLASSES,)
    torch.testing.assert_close(module.reservation.weight[0], state["model._classifier.fc2.weight"][CLASSES])
    torch.testing.assert_close(module.reservation.bias[0], state["model._classifier.fc2.bias"][CLASSES])


def released(network: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a classifier as FD-Shifts keeps those of packages: the last layer inside, and listed twice."""
    last = {"vit-b16": "head.", "densenet121": "classifier.", "densenet161": "classifier.", "efficientnet-b4": "classifier.1."}[network]  # fmt: skip
    state = {}
    for name, value in module.state_dict().items():
        if name.startswith("classifier."):
            state[name.replace("classifier.", last)] = value
        else:
            state[name.removeprefix("encoder.")] = value
    return state


TIMM = {"class_token": "cls_token", "positions": "pos_embed", "tokens.": "patch_embed.proj.", ".attention.projection.": ".attn.proj.", ".attention.": ".attn.", ".mlp.0.": ".mlp.fc1.", ".mlp.2.": ".mlp.fc2."}  # fmt: skip


@pytest.mark.parametrize(
    ("network", "wrapped"),
    [("densenet121", True), ("densenet161", True), ("efficientnet-b4", True), ("vit-b16", True), ("vit-b16", False)],
)
def test_released_weights_of_packages_fit(tmp_path, network, wrapped):
    module, copy = built(network), built(network)
    state = released(network, module)
    for own, theirs in TIMM.items() if network == "vit-b16" else ():
        state = {name.replace(own, theirs): value for name, value in state.items()}
    if wrapped:
        aliases = {f"model._classifier.module.model.{name}": value for name, value in state.items()}
        given = prefixed("model._encoder.model.", state) | aliases
    else:
        given = prefixed("model.", state)
    load_released(copy, saved(tmp_path / "last.ckpt", given))
    inputs = images(network, 1)
    assert torch.equal(copy(inputs), module(inputs))


def test_released_weights_of_a_gambling_transformer_fit(tmp_path):
    """Its last layer, with the reservation, lies inside the encoder; the classifier beside it is the same once more."""
    module, copy = (built("vit-b16", dropout=True, head="deep-gamblers") for _ in range(2))
    state = released("vit-b16", module)
    for own, theirs in TIMM.items():
        state = {name.replace(own, theirs): value for name, value in state.items()}
    assert state["head.weight"].shape == (CLASSES + 1, 768)
    again = {f"model._classifier.module.{part}": state[f"head.{part}"] for part in ("weight", "bias")}
    load_released(copy, saved(tmp_path / "last.ckpt", prefixed("model._encoder.model.", state) | again))
    inputs = images("vit-b16")
    with torch.no_grad():
        found, expected = copy.outputs(inputs), module.outputs(inputs)
    assert torch.equal(found.logits, expected.logits)
    assert found.logits.shape == (2, CLASSES)
    every = found.features @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(found.confidence, 1 - every.softmax(dim=1)[:, -1], rtol=1e-4, atol=1e-5)


def test_released_weights_of_resnet_fit(tmp_path):
    module, copy = built("resnet50", head="devries"), built("resnet50", head="devries")
    names = {"encoder.": "model._encoder.", "classifier.": "model._classifier.fc.", "head.": "model.devries_net.uncertainty1."}  # fmt: skip
    state = module.state_dict()
    given = {theirs + name[len(own) :]: value for own, theirs in names.items() for name, value in state.items() if name.startswith(own)}  # fmt: skip
    load_released(copy, saved(tmp_path / "last.ckpt", given))
    inputs = images("resnet50", 1)
    assert torch.equal(copy.outputs(inputs).confidence, module.outputs(inputs).confidence)
    assert torch.equal(copy(inputs), module(inputs))


def test_own_state_dicts_are_taken_as_they_are(tmp_path):
    from safetensors.torch import save_file

    module, copy = built("vgg13", head="confidnet"), built("vgg13", head="confidnet")
    save_file(module.state_dict(), tmp_path / "own.safetensors")
    load_released(copy, tmp_path / "own.safetensors")
    inputs = images("vgg13")
    assert torch.equal(copy(inputs), module(inputs))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": 9}, r"of another shape: classifier\.weight \(7, 512\) in place of \(9, 512\)"),
        ({"head": None}, None),
        (
            {"head": "confidnet"},
            r"missing: head\.0\.weight, head\.0\.bias, head\.2\.weight and \d+ more; left over: head\.weight",
        ),
        ({"head": "deep-gamblers"}, r"left over: head\.weight, head\.bias; of another shape"),
        ({"dropout": True}, r"vgg13 with 7 classes, head devries: missing: encoder\."),
        ({"network": "svhn-small-conv"}, r"missing: encoder\.conv1\.weight"),
    ],
)
def test_what_does_not_fit_is_listed(tmp_path, arguments, said):
    path = saved(tmp_path / "last.ckpt", devries(vgg13(False), CLASSES))
    options = {"network": "vgg13", "classes": CLASSES, "dropout": False, "head": "devries"} | arguments
    module = build_classifier(options.pop("network"), options.pop("classes"), **options)
    if said is None:
        load_released(module, path)
        return
    with pytest.raises(UsageError, match=rf"last\.ckpt does not fit .*{said}"):
        load_released(module, path)


def test_names_of_others_are_left_over(tmp_path):
    state = devries(vgg13(False), CLASSES) | {"teacher.weight": torch.ones(2)}
    module = build_classifier("vgg13", CLASSES, dropout=False, head="devries")
    with pytest.raises(UsageError, match=r"left over: teacher\.weight\."):
        load_released(module, saved(tmp_path / "last.ckpt", state))


@pytest.mark.parametrize(
    ("network", "head", "said"), [("vgg31", None, "did you mean vgg13"), ("vgg13", "devris", "did you mean devries")]
)
def test_unknown_names(network, head, said):
    with pytest.raises(UsageError, match=said):
        build_classifier(network, 10, dropout=False, head=head)

"""Guided backpropagation by autograd gives the numbers of rules for each operation, or leaves a network to these."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from harness.data.digits import POINTS, VOLUME_SIDE
from harness.methods.baselines.attribution import _plain_relus
from harness.methods.baselines.attribution._plain_relus import guided_gradients
from harness.methods.outputs import NotOfferedError
from harness.tracks.attribution.networks import FAMILIES, build_network

from .support import explain
from .test_written import task
from .written import NETWORKS

SHAPES = {"image": (1, 28, 28), "volume": (1, *[VOLUME_SIDE] * 3), "point-cloud": (3, POINTS)}
PLAIN = {"cnn", "resnet", "cnn3d", "resnet3d", "pointnet"}


def by_rules(monkeypatch, model, inputs, targets):
    with monkeypatch.context() as patch:
        patch.setattr(_plain_relus, "guided_gradients", lambda *given: None)
        return explain("guided-backprop", model, inputs, targets)


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_of_the_embedded_families_are_the_same_to_the_bit(monkeypatch, family):
    torch.manual_seed(0)
    model, inputs = build_network(family).eval(), torch.rand(5, *SHAPES[FAMILIES[family].modality])
    targets = torch.arange(5)
    expected = by_rules(monkeypatch, model, inputs, targets)
    assert torch.equal(explain("guided-backprop", model, inputs, targets), expected)
    plain = guided_gradients(model, inputs, targets)
    assert (plain is not None) == (family in PLAIN)
    assert plain is None or torch.equal(plain, expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_maps_are_the_same_however_networks_are_written(monkeypatch, network):
    model, inputs, targets, *_ = task(network)
    expected = by_rules(monkeypatch, model, inputs, targets)
    found = explain("guided-backprop", model, inputs, targets)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


class Net(nn.Module):
    """A convolution and a linear layer, and what is between them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 3)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self, self.norm(self.first(x))).mean((2, 3)))


def made(between, change=lambda model: None):
    torch.manual_seed(0)
    model = Net(between).eval()
    change(model)
    return model, torch.randn(4, 2, 6, 6), torch.tensor([0, 1, 2, 1])


def twice(net, x):
    relu = nn.ReLU()
    return relu(net.norm(relu(x)))


@pytest.mark.parametrize(
    "between",
    [
        lambda net, x: nn.ReLU()(x),
        lambda net, x: nn.ReLU(inplace=True)(x),
        lambda net, x: F.relu(x),
        lambda net, x: x.relu_(),
        twice,
        lambda net, x: F.relu(x).clone().add_(net.norm(x)),
        lambda net, x: F.relu(F.relu(x) + 1),
        lambda net, x: F.max_pool2d(F.relu(x + net.first.bias.view(6, 1, 1)), 2, ceil_mode=True),
        lambda net, x: torch.cat([F.relu(x[:, :3]), x[:, 3:]], dim=1),
        lambda net, x: F.relu(x) + F.relu(x.flatten(1)).view(x.shape) + net.norm(x) + F.dropout(net.norm(x), 0.0),
        lambda net, x: x,
    ],
)
def test_what_only_consists_of_known_calls_is_left_to_autograd(monkeypatch, between):
    model, inputs, targets = made(between)
    given = inputs.clone()
    found = guided_gradients(model, inputs, targets)
    assert torch.equal(inputs, given)
    assert torch.equal(found, by_rules(monkeypatch, model, inputs, targets))
    assert all(weight.grad is None for weight in model.parameters())
    with torch.no_grad():
        assert torch.equal(found, guided_gradients(model, inputs, targets))
    for weight in model.parameters():
        weight.requires_grad_(False)
    assert torch.equal(found, guided_gradients(model, inputs, targets))


def without_gradients(mode):
    def between(net, x):
        with mode():
            half = x.relu()
        return F.relu(x) + half

    return between


def caught(net, x):
    try:
        return F.relu(x) + x.clamp_min(0)
    except Exception:
        return F.relu(x)


def half_hidden(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        half = torch.relu(x)
    return torch.relu(x) + half


def kept(net, x):
    net.buffer.copy_(x.detach().relu().mean())
    return F.relu(x) + net.buffer


SCRIPT = "scripted"
HOSTILE = {
    "no_grad": without_gradients(torch.no_grad),
    "inference_mode": without_gradients(torch.inference_mode),
    "set_grad_enabled": without_gradients(lambda: torch.set_grad_enabled(False)),
    "detached": lambda net, x: F.relu(x) + F.relu(x.detach()),
    "data": lambda net, x: F.relu(x) + F.relu(x.data),
    "numbers": lambda net, x: F.relu(x) if float(x.mean()) > 0 else x.clamp_min(0),
    "truth": lambda net, x: F.relu(x) if (x > 0).any() else x,
    "wants gradients": lambda net, x: F.relu(x) if x.requires_grad else x.clamp_min(0),
    "another way": lambda net, x: x.clamp_min(0),
    "product": lambda net, x: x * (x > 0),
    "by a weight": lambda net, x: F.prelu(x, torch.zeros(1)),
    "a sum that is no ReLU": lambda net, x: F.relu(x) + x,
    "twice a ReLU": lambda net, x: (y := torch.relu_(x)).clone().add_(y),
    "constant": lambda net, x: F.relu(x) + torch.ones(()),
    "a view in place": lambda net, x: (x.view(len(x), 6, -1).relu_(), x)[1],
    "a part in place": lambda net, x: (x[:, :3].relu_(), x)[1],
    "written over": lambda net, x: (y := F.relu(x)) + y.add_(x),
    "caught": caught,
    "scripted": lambda net, x: half_hidden(x),
    "own operation": lambda net, x: torch.ops.aten.relu(x) + x,
    "of another network": lambda net, x: F.relu(x) + nn.Linear(6, 6)(torch.ones(6)).view(6, 1, 1).detach(),
    "checkpoint": lambda net, x: checkpoint(torch.relu, x, use_reentrant=False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_autograd_may_not_see_is_left_to_rules(monkeypatch, name):
    """Where these refuse a network, as they refuse it."""
    between = HOSTILE[name]
    if name == SCRIPT:
        scripted = torch.jit.script(half_hidden)
        between = lambda net, x: scripted(x)  # noqa: E731
    model, inputs, targets = made(between)
    assert guided_gradients(model, inputs, targets) is None
    torch.manual_seed(1)
    try:
        expected = by_rules(monkeypatch, model, inputs, targets)
    except NotOfferedError:
        with pytest.raises(NotOfferedError):
            explain("guided-backprop", model, inputs, targets)
    else:
        torch.manual_seed(1)
        assert torch.equal(explain("guided-backprop", model, inputs, targets), expected)


def test_sections_without_gradients_count():
    """What stands twice behind a ReLU, where autograd sees one of them, passes on twice what one passes on."""

    def halves(net, x):
        with torch.no_grad():
            half = F.max_pool2d(x.relu(), 1)
        return F.max_pool2d(F.relu(x), 1) + half

    whole, inputs, targets = made(lambda net, x: F.relu(x))
    maps = explain("guided-backprop", made(halves)[0], inputs, targets)
    torch.testing.assert_close(maps, 2 * explain("guided-backprop", whole, inputs, targets))


@pytest.mark.parametrize("kind", ["hook of a tensor", "hook of a module", "pre-hook of a module"])
def test_gradients_that_a_network_changes_itself_are_left_to_rules(monkeypatch, kind):
    def hooked(net, x):
        if x.requires_grad:
            x.register_hook(lambda part: part * 2)
        return F.relu(x)

    def change(model):
        if kind == "hook of a module":
            model.norm.register_full_backward_hook(lambda module, parts, of: tuple(2 * part for part in parts))
        if kind == "pre-hook of a module":
            model.norm.register_full_backward_pre_hook(lambda module, of: tuple(2 * part for part in of))

    plain = lambda net, x: F.relu(x)  # noqa: E731
    model, inputs, targets = made(hooked if kind == "hook of a tensor" else plain, change)
    assert guided_gradients(model, inputs, targets) is None
    expected = by_rules(monkeypatch, model, inputs, targets)
    assert torch.equal(explain("guided-backprop", model, inputs, targets), expected)


def test_own_gradients_are_left_to_rules():
    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, of_output):
            return -of_output

    model, inputs, targets = made(lambda net, x: F.relu(Same.apply(x)))
    assert guided_gradients(model, inputs, targets) is None
    with pytest.raises(NotOfferedError, match=r"autograd\.Function"):
        explain("guided-backprop", model, inputs, targets)


def test_what_does_not_depend_on_its_input_is_refused_as_before():
    model, inputs, targets = made(lambda net, x: net.first.weight.mean().expand(len(x), 6, 1, 1))
    assert guided_gradients(model, inputs, targets) is None
    with pytest.raises(NotOfferedError, match="do not depend on its input"):
        explain("guided-backprop", model, inputs, targets)


def test_an_answer_that_was_made_elsewhere_is_left_to_rules():
    model, inputs, targets = made(lambda net, x: F.relu(x))
    scripted = torch.jit.script(half_hidden)
    model.register_forward_hook(lambda module, given, out: scripted(out))
    assert guided_gradients(model, inputs, targets) is None

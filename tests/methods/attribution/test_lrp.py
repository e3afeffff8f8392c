"""Relevance propagation through CNNs, against closed forms and against captum where captum is right."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from harness.methods.baselines.attribution._relprop import convolutional_relevance
from harness.methods.outputs import NotOfferedError

from .nets import Cnn, PointNet, network, samples, surroundings
from .support import explain


class WithoutIdentity(Cnn):
    def forward(self, inputs):
        first = self.stem(inputs)
        return self.classifier(self.pool(self.features(self.add(self.change(first), first))).flatten(1))


def logits_of(model, inputs, targets):
    return model(inputs).detach().gather(1, targets[:, None])[:, 0]


def test_one_linear_layer_by_the_gamma_rule():
    rng = np.random.default_rng(0)
    weight, bias, inputs = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(2, 5))
    model = nn.Sequential(nn.Linear(5, 3)).double().eval()
    model[0].weight.data, model[0].bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    targets = torch.tensor([2, 1])
    maps = explain("lrp", model, torch.from_numpy(inputs), targets, surroundings(model, "image", "cnn"))
    for x, target, found in zip(inputs, targets, maps, strict=True):
        logit = weight[target] @ x + bias[target]
        raised = weight[target] + 0.25 * np.maximum(weight[target], 0)
        np.testing.assert_allclose(found, x * raised / (raised @ x + bias[target]) * logit, rtol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_without_biases_all_relevance_arrives(dimensions):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Cnn(dimensions, 3 if dimensions == 2 else 1, bias=False).double().eval()
    inputs, targets = samples("image" if dimensions == 2 else "volume")
    inputs = inputs.double()
    relevance = convolutional_relevance(model, inputs, targets, epsilon=1e-9, gamma=0.25)
    torch.testing.assert_close(relevance.flatten(1).sum(dim=1), logits_of(model, inputs, targets), rtol=1e-5, atol=1e-8)


def test_relevance_passes_through_concatenation_and_neighbours():
    """A branch that is concatenated and used again: each use takes its own share, and no more."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu1 = nn.Conv1d(3, 6, 1, bias=False), nn.ReLU()
            self.second, self.relu2 = nn.Conv1d(6, 6, 1, bias=False), nn.ReLU()
            self.maximum = nn.MaxPool2d((1, 4))
            self.last = nn.Conv1d(12, 5, 1, bias=False)

        def forward(self, points):
            first = self.relu1(self.first(points))
            near = torch.cdist(points.mT, points.mT).topk(4, largest=False).indices.detach()
            around = first.gather(2, near.flatten(1)[:, None].expand(-1, 6, -1)).view(*first.shape, 4)
            second = self.relu2(self.second(self.maximum(around)[..., 0]))
            return self.last(torch.cat([first, second], dim=1)).amax(dim=2)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Dense().double().eval()
    inputs, targets = samples("point-cloud")
    inputs = inputs.double()
    relevance = convolutional_relevance(model, inputs, targets, epsilon=1e-9, gamma=0.25)
    torch.testing.assert_close(relevance.flatten(1).sum(dim=1), logits_of(model, inputs, targets), rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings("ignore:Input Tensor 0")
@pytest.mark.parametrize("modality", ["image", "volume", "point-cloud"])
def test_agrees_with_captum(modality):
    attr = pytest.importorskip("captum.attr")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    model, _ = network(modality, "cnn")
    model.double()
    inputs, targets = samples(modality)
    inputs = inputs.double()
    epsilon = 1e-5 if modality == "point-cloud" else 1e-4
    theirs = copy.deepcopy(model)
    if modality != "point-cloud":
        theirs.__class__ = WithoutIdentity  # captum has no rule that is right for modules whose output is their input
    for module in theirs.modules():
        if isinstance(module, nn.Linear):
            module.rule = rules.GammaRule(gamma=0.25)
        elif not isinstance(module, nn.ReLU) and not list(module.children()):
            module.rule = rules.EpsilonRule(epsilon=epsilon)
    expected = attr.LRP(theirs.eval()).attribute(inputs, target=targets).detach()
    maps = explain("lrp", model, inputs, targets, surroundings(model, modality, "cnn"))
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-7 * float(expected.abs().max()))


def test_activations_may_work_in_place():
    model, _ = network("image", "cnn")
    in_place = copy.deepcopy(model)
    in_place.stem[1].inplace = in_place.features.inplace = True
    inputs, targets = samples("image")
    maps = [explain("lrp", each, inputs, targets, surroundings(each, "image", "cnn")) for each in (model, in_place)]
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.pool(net.features(x) + net.features[0](x).repeat(1, 2, 1)),
        lambda net, x: net.pool(net.features(x) - net.features[0](x).repeat(1, 2, 1)),
        lambda net, x: net.pool(net.features(x) * net.features[0](x).mean(1, keepdim=True)),
        lambda net, x: net.pool(net.features(x) @ x.mT @ x),
        lambda net, x: net.pool(torch.bmm(net.features(x), x.mT)),
    ],
)
def test_sums_and_products_of_branches_conserve_relevance(forward):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PointNet().double().eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.data.zero_()
    model.__class__ = type(
        "Branching", (PointNet,), {"forward": lambda net, x: net.classifier(forward(net, x)[..., 0])}
    )
    inputs, targets = samples("point-cloud")
    relevance = convolutional_relevance(model, inputs.double(), targets, epsilon=1e-12, gamma=0.25)
    expected = logits_of(model, inputs.double(), targets)
    torch.testing.assert_close(relevance.flatten(1).sum(dim=1), expected, rtol=1e-5, atol=1e-8)


def test_a_sum_outside_of_modules_is_one_inside():
    model, _ = network("image", "cnn")
    outside = copy.deepcopy(model)
    forward = lambda net, x: net.classifier(net.pool(net.features(net.change(net.stem(x)) + net.stem(x))).flatten(1))  # noqa: E731
    outside.__class__ = type("Outside", (Cnn,), {"forward": forward})
    inputs, targets = samples("image")
    maps = [explain("lrp", each, inputs, targets, surroundings(each, "image", "cnn")) for each in (model, outside)]
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize(
    ("meet", "operation"),
    [
        (lambda a, b: torch.atan2(a, b), "atan2"),
        (lambda a, b: a**b, "pow"),
        (lambda a, b: torch.fft.rfft(a * b).abs(), "_fft_r2c"),
        (lambda a, b: a.cumprod(dim=1) + b, "cumprod"),
    ],
)
def test_an_operation_without_a_rule_is_not_applicable_by_name(meet, operation):
    model = PointNet().eval()

    def forward(net, x):
        features = net.features(x)
        return net.classifier(net.pool(meet(features, net.features[0](x).repeat(1, 2, 1)))[:, :, 0])

    model.__class__ = type("Branching", (PointNet,), {"forward": forward})
    for name in ("lrp", "deep-lift"):
        with pytest.raises(NotOfferedError, match=f"no rule for `{operation}`"):
            explain(name, model, *samples("point-cloud"), surroundings(model, "point-cloud", "cnn"))


def test_a_sum_and_a_product_in_one_of_three_branches_is_not_applicable():
    class Fused(nn.Module):
        def forward(self, x):
            x = x.flatten(1)
            return torch.addmm(x, x, x.mT @ x)

    model = Fused().eval()
    with pytest.raises(NotOfferedError, match="no rule for `addmm`"):
        explain("lrp", model, torch.ones(1, 3, 2), torch.tensor([1]), surroundings(model, "point-cloud", "cnn"))

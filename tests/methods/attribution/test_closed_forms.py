"""Maps of models whose attribution is known in closed form."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from harness.methods.baselines.attribution import kernel_shap, lime
from harness.methods.baselines.attribution._blocks import blocks

from .nets import CLASSES, network, samples, surroundings
from .support import explain


class Linear(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn((CLASSES, *shape), generator=generator))
        self.bias = nn.Parameter(torch.randn(CLASSES, generator=generator))

    def forward(self, inputs):
        return torch.einsum("n...,k...->nk", inputs, self.weight) + self.bias


class Counts(list):
    def __deepcopy__(self, memo):
        return self


class Counting(nn.Module):
    """Sums its input, and counts the rows that it, or a copy of it, is asked about."""

    def __init__(self):
        super().__init__()
        self.counts = Counts()

    @property
    def rows(self):
        return sum(self.counts)

    def forward(self, inputs):
        self.counts.append(len(inputs))
        return inputs.flatten(1).sum(dim=1, keepdim=True)


def linear(*shape, count=3):
    generator = torch.Generator().manual_seed(1)
    model = Linear(*shape).eval()
    inputs, background = (torch.randn((n, *shape), generator=generator) for n in (count, 20))
    targets = torch.arange(count) % CLASSES
    return model, inputs, targets, surroundings(model, "image", "cnn", background=background)


# linear models ------------------------------------------------------------------------------------


def test_shapley_values_of_a_linear_model_are_weight_times_input():
    """The reference of the other tests, by its definition: the mean over all orders of arrival."""
    model, inputs, targets, _ = linear(1, 2, 2, count=1)
    orders = list(itertools.permutations(range(4)))
    values = torch.zeros(4)
    with torch.no_grad():
        for order in orders:
            present = torch.zeros(1, 4)
            for feature in order:
                before = model((present * inputs.flatten(1)).view(inputs.shape))[0, targets[0]]
                present[0, feature] = 1
                after = model((present * inputs.flatten(1)).view(inputs.shape))[0, targets[0]]
                values[feature] += (after - before) / len(orders)
    torch.testing.assert_close(values.view(inputs.shape), (model.weight[targets] * inputs).detach())


@pytest.mark.parametrize("name", ["input-x-gradient", "integrated-gradients", "deep-lift"])
def test_these_are_shapley_values_of_linear_models(name):
    pytest.importorskip("captum")
    model, inputs, targets, context = linear(3, 6, 6)
    expected = (model.weight[targets] * inputs).detach()
    torch.testing.assert_close(explain(name, model, inputs, targets, context), expected)


def test_kernel_shap_finds_shapley_values_with_enough_coalitions(monkeypatch):
    pytest.importorskip("captum")
    monkeypatch.setattr(kernel_shap, "SAMPLES", 200)
    model, inputs, targets, context = linear(1, 4, 4)
    expected = (model.weight[targets] * inputs).detach()
    torch.testing.assert_close(explain("kernel-shap", model, inputs, targets, context), expected, atol=1e-3, rtol=1e-3)


def test_lime_finds_weight_times_input_with_enough_samples(monkeypatch):
    pytest.importorskip("captum")
    monkeypatch.setattr(lime, "SAMPLES", 2000)
    model, inputs, targets, context = linear(1, 4, 4)
    expected = (model.weight[targets] * inputs).detach()
    maps = explain("lime", model, inputs, targets, context)
    # A ridge penalty of 1 beside some 2000 weights, each times the variance 1/4 of a switch.
    torch.testing.assert_close(maps, expected, atol=0.02 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize(("name", "members"), [("deep-lift-shap", 16), ("expected-gradients", 20)])
def test_against_a_background_a_linear_model_has_weight_times_difference(name, members):
    pytest.importorskip("captum")
    model, inputs, targets, context = linear(1, 6, 6)
    background = context.background[:members]
    maps = explain(name, model, inputs, targets, context)
    weight = model.weight[targets].detach()
    if name == "deep-lift-shap":
        torch.testing.assert_close(maps, weight * (inputs - background.mean(dim=0)), atol=1e-5, rtol=1e-5)
    else:  # 40 draws of members: the same share of each for every place, up to the noise
        drawn = (inputs - maps / weight).flatten(1).T
        shares = torch.linalg.lstsq(background.flatten(1).T, drawn).solution
        torch.testing.assert_close((shares * 40).round() / 40, shares, atol=2e-3, rtol=0)
        torch.testing.assert_close(shares.sum(dim=0), torch.ones(3), atol=2e-3, rtol=0)


def test_gradients_of_a_linear_model():
    pytest.importorskip("captum")
    model, inputs, targets, context = linear(2, 5, 5)
    weight = model.weight[targets].detach()
    torch.testing.assert_close(explain("saliency", model, inputs, targets), weight.abs())
    torch.testing.assert_close(explain("guided-backprop", model, inputs, targets), weight)
    torch.testing.assert_close(explain("smooth-grad", model, inputs, targets, context), weight)
    torch.testing.assert_close(explain("var-grad", model, inputs, targets, context), torch.zeros_like(inputs))


def test_smooth_and_var_grad_of_a_quadratic():
    class Quadratic(nn.Module):
        def forward(self, inputs):
            return (inputs**2).flatten(1).sum(dim=1, keepdim=True)

    inputs, targets = samples("image")[0], torch.zeros(4, dtype=torch.long)
    context = surroundings(Quadratic(), "image", "cnn")
    spread = (inputs.amax(dim=(1, 2, 3)) - inputs.amin(dim=(1, 2, 3))).view(-1, 1, 1, 1)
    # The gradient at a noisy copy is 2 (x + noise), with noise of deviation 0.15 spread: its mean over 50 copies ...
    away = (explain("smooth-grad", Quadratic(), inputs, targets, context) - 2 * inputs) / (2 * 0.15 * spread)
    assert float(away.std()) == pytest.approx(50**-0.5, rel=0.1)
    # ... and its variance, whose expectation over 50 copies is 49/50 of the true one.
    variance = explain("var-grad", Quadratic(), inputs, targets, context) / (2 * 0.15 * spread) ** 2
    assert float(variance.mean()) == pytest.approx(0.98, rel=0.03)


# occlusion and features ---------------------------------------------------------------------------


def test_occlusion_of_a_linear_model_is_the_mean_over_windows():
    pytest.importorskip("captum")
    model, inputs, targets, context = linear(2, 28, 28, count=2)
    contributions = (model.weight[targets] * inputs).detach().sum(dim=1).numpy()
    total, windows = np.zeros((2, 28, 28)), np.zeros((28, 28))
    for top, left in itertools.product(range(0, 23 + 2, 3), repeat=2):  # 50 and 25 of 224 pixels are 6 and 3 of 28
        place = np.s_[..., top : top + 6, left : left + 6]
        total[place] += contributions[place].sum(axis=(1, 2), keepdims=True)
        windows[place] += 1
    maps = explain("occlusion", model, inputs, targets, context).numpy()
    np.testing.assert_allclose(maps, (total / windows)[:, None].repeat(2, axis=1), atol=2e-4)


@pytest.mark.parametrize(
    ("modality", "shape", "windows"),
    [("image", (3, 224, 224), 64), ("volume", (1, 28, 28, 28), 343), ("point-cloud", (3, 1024), 1024)],
)
def test_windows_at_published_sizes(modality, shape, windows):
    pytest.importorskip("captum")
    model, target = Counting(), torch.zeros(1, dtype=torch.long)
    explain("occlusion", model, torch.ones((1, *shape)), target, surroundings(model, modality, "cnn"))
    assert model.rows == windows + 1, "each window once, and the input itself"


@pytest.mark.parametrize(
    ("modality", "shape", "features"),
    [
        ("image", (3, 224, 224), 196),
        ("image", (1, 28, 28), 196),
        ("volume", (1, 28, 28, 28), 64),
        ("volume", (1, 16, 16, 16), 64),
        ("image", (1, 3, 5), 15),
    ],
)
def test_features_are_blocks(modality, shape, features):
    numbers = blocks(torch.zeros((1, *shape)), surroundings(nn.Identity(), modality, "cnn"))
    assert numbers.shape == (1, 1, *shape[1:])
    assert numbers.unique().tolist() == list(range(features))
    assert len({int((numbers == each).sum()) for each in numbers.unique()}) == 1, "blocks of one size"
    first = (numbers[0, 0] == 0).nonzero()
    assert len(first) == int((first.amax(dim=0) + 1).prod()), "a block is a box"


def test_every_coordinate_of_a_point_is_a_feature():
    assert blocks(torch.zeros(1, 3, 32), surroundings(nn.Identity(), "point-cloud", "cnn")) is None


# non-linear models --------------------------------------------------------------------------------


def test_guided_backprop_by_hand():
    rng = np.random.default_rng(0)
    first, second, inputs = rng.normal(size=(7, 4)), rng.normal(size=(3, 7)), rng.normal(size=(2, 4))
    model = nn.Sequential(nn.Linear(4, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False)).double().eval()
    model[0].weight.data, model[2].weight.data = torch.from_numpy(first), torch.from_numpy(second)
    expected = []
    for x, target in zip(inputs, (2, 0), strict=True):
        gates = (first @ x > 0) & (second[target] > 0)
        expected.append((second[target] * gates) @ first)
    maps = explain("guided-backprop", model, torch.from_numpy(inputs), torch.tensor([2, 0]))
    np.testing.assert_allclose(maps.numpy(), expected)


@pytest.mark.parametrize(("modality", "steps"), [("image", 30), ("volume", 30), ("point-cloud", 16)])
def test_integrated_gradients_of_a_cubic(modality, steps):
    pytest.importorskip("captum")

    class Cubic(Counting):
        def forward(self, inputs):
            return super().forward(inputs**3)

    model, (inputs, _) = Cubic(), samples(modality, 2)
    targets = torch.zeros(2, dtype=torch.long)
    maps = explain("integrated-gradients", model, inputs, targets, surroundings(model, modality, "cnn"))
    torch.testing.assert_close(maps, inputs**3, rtol=1e-5, atol=1e-5)  # quadrature is exact for polynomials
    assert model.rows == 2 * steps


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_contributions_add_up_to_the_difference_of_logits(modality):
    pytest.importorskip("captum")
    model, _ = network(modality, "cnn")
    model.double()
    inputs, targets = samples(modality)
    inputs, background = inputs.double(), samples(modality, 20, seed=1)[0].double()
    context = surroundings(model, modality, "cnn", background=background)
    with torch.no_grad():
        logits = model(inputs).gather(1, targets[:, None])[:, 0]
        blank = model(torch.zeros_like(inputs[:1]))[0, targets]
        usual = model(background[:16])[:, targets].mean(dim=0)

    def total(name):
        return explain(name, model, inputs, targets, context).flatten(1).sum(dim=1)

    torch.testing.assert_close(total("deep-lift"), logits - blank, rtol=0, atol=1e-6)
    torch.testing.assert_close(total("deep-lift-shap"), logits - usual, rtol=0, atol=1e-6)
    # 30 steps through a function with kinks
    torch.testing.assert_close(total("integrated-gradients"), logits - blank, rtol=0, atol=0.02)

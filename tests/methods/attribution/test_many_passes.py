"""Methods that pass an input many times: several inputs together, through a copy of the network that costs less."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from harness.methods.baselines.attribution._batches import AT_ONCE, at_once
from harness.methods.baselines.attribution._gradients import input_gradients
from harness.methods.baselines.attribution._lean import in_lean_batches
from harness.methods.discovery import find_method, load_baseline
from harness.tracks.passes import Meter
from tests.methods.attribution.nets import network, samples, surroundings

METHODS = ["integrated-gradients", "expected-gradients", "occlusion", "smooth-grad", "var-grad", "deep-lift-shap"]


class Viewing(nn.Module):
    """Rests on how numbers lie in memory."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.classifier = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 3)

    def forward(self, inputs):
        features = self.norm(self.conv(inputs)).relu()
        return self.classifier(features.view(features.shape[0], -1))


class Twice(nn.Module):
    """One convolution before two batch norms, and one batch norm behind two convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norms, self.shared = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2)), nn.BatchNorm2d(3)

    def forward(self, inputs):
        both = self.conv(inputs)
        apart = self.norms[0](both) + self.norms[1](both.relu())
        return (self.shared(self.other(apart)) + self.shared(self.conv(apart))).mean(dim=(2, 3))


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, inputs):
        features = self.norm(self.conv(inputs))
        return (features if features.mean() > 100 else features.square()).mean(dim=(2, 3))


def trained(model):
    """With statistics and scales that are not those of a new batch norm."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                values.uniform_(0.5, 2.0)
    return model.eval()


def plain_sequence():
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def seen_by(model, inputs, targets):
    """The gradients, and the networks that were asked for them."""
    networks = []

    def explain(lean, some, classes):
        networks.append(lean)
        return input_gradients(lean, some, classes)

    return in_lean_batches(explain, model, inputs, targets), networks


@pytest.mark.parametrize("make", [plain_sequence, Viewing, Twice, Deciding])
def test_gradients_are_those_of_the_model_which_stays_as_it_is(make):
    torch.manual_seed(0)
    model, inputs, targets = trained(make()), torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    before = copy.deepcopy(model.state_dict())
    expected = input_gradients(model, inputs, targets)
    found, _ = seen_by(model, inputs, targets)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()


def test_batch_norm_is_folded_where_a_convolution_is_its_own():
    torch.manual_seed(0)
    inputs, targets = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    counts = {}
    for make in (plain_sequence, Twice, Deciding):
        _, (lean,) = seen_by(trained(make()), inputs, targets)
        counts[make.__name__] = sum(isinstance(module, nn.BatchNorm2d) for module in lean.modules())
    assert counts == {"plain_sequence": 0, "Twice": 3, "Deciding": 1}


def test_an_error_of_the_model_is_raised():
    class Broken(nn.Module):
        def forward(self, inputs):
            raise RuntimeError("broken in some way")

    with pytest.raises(RuntimeError, match="broken in some way"):
        seen_by(Broken(), torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))


def test_passes_of_the_copy_are_counted():
    model, meter = trained(plain_sequence()), Meter()
    with meter.counting(model):
        seen_by(model, torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1]))
    assert (meter.take().forward, meter.take().backward) == (5, 0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 28, 28), 256), ((3, 32, 32), 85), ((3, 224, 224), AT_ONCE), ((1, 14, 14, 14), 95), ((3, 128), AT_ONCE)],
)
def test_small_images_are_passed_in_larger_batches(shape, size):
    assert at_once(torch.empty(1, *shape)) == size


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("modality", ["image", "volume", "point-cloud"])
def test_a_map_does_not_rest_on_the_company(name, modality, monkeypatch):
    pytest.importorskip("captum")
    (net, anatomy), (inputs, targets) = network(modality, "cnn"), samples(modality)
    method = load_baseline(find_method(name).spec)

    def maps(some, classes):
        context = surroundings(net, modality, "cnn", anatomy)
        return np.asarray(method(net, some, classes, context).detach())

    whole = maps(inputs, targets)
    alone = np.concatenate([maps(inputs[row : row + 1], targets[row : row + 1]) for row in range(len(inputs))])
    assert np.abs(whole - alone).max() <= 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("modality", ["image", "volume", "point-cloud"])
def test_expected_gradients_are_those_of_captum(modality):
    """One input at a time with the same seeds, as captum draws for each call."""
    attr = pytest.importorskip("captum.attr")
    (net, anatomy), (inputs, targets) = network(modality, "cnn"), samples(modality)
    context = surroundings(net, modality, "cnn", anatomy)
    found = load_baseline(find_method("expected-gradients").spec)(net, inputs, targets, context)
    for one, target, given in zip(inputs.split(1), targets.split(1), found.split(1), strict=True):
        torch.manual_seed(context.seed)
        np.random.seed(context.seed % 2**32)
        expected = attr.GradientShap(net).attribute(one, context.background, target=target, n_samples=40, stdevs=0.001)
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6 * float(expected.detach().abs().max()))

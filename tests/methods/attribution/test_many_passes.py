"""Methods that pass an input many times: several inputs together, through a copy of the network that costs less."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from harness.methods.baselines.attribution._batches import AT_ONCE, at_once
from harness.methods.baselines.attribution._folded import folded
from harness.methods.baselines.attribution._gradients import input_gradients
from harness.methods.discovery import find_method, load_baseline
from harness.tracks.passes import Meter
from tests.methods.attribution.nets import network, samples, surroundings

METHODS = ["integrated-gradients", "expected-gradients", "occlusion", "smooth-grad", "var-grad", "deep-lift-shap"]


class Norm(nn.Module):
    """One convolution with its own batch norm, and what `behind` makes of the module and its features."""

    def __init__(self, behind):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.drop, self.behind = nn.Dropout(), behind

    def forward(self, inputs):
        return self.behind(self, self.norm(self.conv(inputs)))


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


def mean(features):
    return features.mean(dim=(2, 3))


def trained(model):
    """With statistics and scales that are not those of a new batch norm."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                values.uniform_(0.5, 2.0)
    return model.eval()


def plain():
    return trained(Norm(lambda self, features: mean(features.relu())))


def blocks():
    """Two convolutions with batch norm and a way around them, and a linear layer."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.classifier = plain(), nn.Conv2d(3, 3, 1, bias=False), nn.Linear(192, 3)
            self.norm = nn.BatchNorm2d(3)
            self.first.behind = lambda self, features: nn.functional.relu(features, inplace=True)

        def forward(self, inputs):
            return self.classifier((inputs + self.norm(self.second(self.first(inputs)))).flatten(1))

    return trained(Block())


def in_training():
    model = plain()
    model.norm.train()
    return model


def drawing():
    model = trained(Norm(lambda self, features: mean(self.drop(features))))
    model.drop.train()
    return model


def hooked():
    model = plain()
    model.seen = []
    model.norm.register_forward_hook(lambda module, given, out: model.seen.append(out))
    return model


def watched_on_its_way_back():
    model = plain()
    model.conv.register_full_backward_hook(lambda module, given, out: (2 * given[0],))
    return model


def parametrised():
    model = plain()
    nn.utils.parametrizations.weight_norm(model.conv)
    return model.eval()


OTHERWISE = {
    "view": lambda self, features: features.view(features.shape[0], -1)[:, :3],
    "numbers": lambda self, features: mean(features if features.mean() > 100 else features.square()),
    "size": lambda self, features: mean(features) * len(features),
    "weights used again": lambda self, features: mean(nn.functional.conv2d(features, self.conv.weight)),
    "batch norm used again": lambda self, features: mean(self.norm(self.conv(features))),
    "numbers drawn": lambda self, features: mean(features) * torch.rand(features.shape[1]),
    "tuple": lambda self, features: (mean(features),),
    "numpy": lambda self, features: mean(features) * float(features.detach().numpy().max()),
}
AS_IT_IS = {
    **{name: lambda behind=behind: trained(Norm(behind)) for name, behind in OTHERWISE.items()},
    **{make.__name__: make for make in (in_training, drawing, hooked, watched_on_its_way_back)},
    "shared": lambda: trained(Twice()),
    "no batch norm": lambda: nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(),
    "not to be copied": lambda: trained(Norm(_Uncopied())),
}


class _Uncopied:
    def __deepcopy__(self, memory):
        raise TypeError("cannot be copied")

    def __call__(self, model, features):
        return mean(features)


@pytest.mark.parametrize("make", AS_IT_IS.values(), ids=AS_IT_IS)
def test_a_network_that_cannot_be_folded_is_asked_itself_and_nothing_of_it_changes(make):
    model, inputs = make(), torch.rand(5, 3, 8, 8)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    assert folded(model, inputs) is model
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not getattr(model, "seen", [])


@pytest.mark.parametrize("make", [plain, blocks, parametrised])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 5])
def test_gradients_of_a_folded_network_are_those_of_the_network_which_stays_as_it_is(make, dtype, count):
    torch.manual_seed(0)
    model, targets = make().to(dtype), torch.tensor([0, 1, 2, 0, 1])[:count]
    before = copy.deepcopy(model.state_dict())
    contiguous = torch.rand(5, 3, 8, 8, dtype=dtype)[:count]
    for inputs in (contiguous, contiguous.to(memory_format=torch.channels_last), contiguous.transpose(2, 3)):
        found = folded(model, inputs)
        assert found is not model
        assert make is parametrised or not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
        expected = input_gradients(model, inputs, targets)
        given, largest = input_gradients(found, inputs, targets), float(expected.abs().max())
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-6 * largest)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()


def test_a_network_is_folded_anew_when_it_has_changed():
    model, inputs, targets = plain(), torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    folded(model, inputs)
    with torch.no_grad():
        model.norm.weight *= -2
    torch.testing.assert_close(
        input_gradients(folded(model, inputs), inputs, targets), input_gradients(model, inputs, targets)
    )


def test_no_input_no_copy():
    model = plain()
    assert folded(model, torch.rand(0, 3, 8, 8)) is model


def test_passes_of_the_copy_are_counted():
    model, meter, inputs, targets = plain(), Meter(), torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    with meter.counting(model):
        input_gradients(folded(model, inputs), inputs, targets)
    taken = meter.take()
    assert (taken.forward, taken.backward) == (2 * 2 + 5, 5)  # two of each to see that the copy is the same


def test_hooks_of_the_network_itself_see_and_change_the_passes_of_the_copy():
    """Networks that answer with more than logits are made so that a hook takes the logits."""
    model, inputs, targets, seen = plain(), torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2]), []
    inner = model.behind
    model.behind = lambda self, features: {"logits": inner(self, features)}
    model.register_forward_hook(lambda module, given, answer: answer["logits"])
    found = folded(model, inputs)
    assert found is not model
    model.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    torch.testing.assert_close(input_gradients(found, inputs, targets), input_gradients(model, inputs, targets))
    assert seen == [3, 3]


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 28, 28), 256), ((3, 32, 32), 85), ((3, 224, 224), AT_ONCE), ((1, 14, 14, 14), 95), ((3, 128), AT_ONCE)],
)
def test_small_images_are_passed_in_larger_batches(shape, size):
    assert at_once(torch.empty(1, *shape)) == size


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("modality", ["image", "volume", "point-cloud"])
def test_a_map_does_not_rest_on_the_company(name, modality):
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

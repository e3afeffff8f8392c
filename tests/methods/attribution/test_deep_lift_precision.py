"""DeepLIFT decides in double precision and goes back in single precision where that changes no map by more than rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.methods.baselines.attribution import _deep_lift
from harness.methods.baselines.attribution._deep_lift import contributions, contributions_for_each
from harness.methods.baselines.attribution._operations import gradient, trace
from tests.methods.attribution.nets import KINDS, network, samples
from tests.methods.attribution.test_many_passes import trained

ROUNDING = 1e-5  # of the largest number of a map; what the protocols allow is ten times that


class Pooling(nn.Module):
    """Convolutions with batch norm, a residual one, pooling with windows that overlap, are padded or are all there is."""

    def __init__(self, channels=3, scale=1.0):
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.other = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.linear, self.scale = nn.Linear(8, 5), scale

    def forward(self, images):
        x = F.max_pool2d(self.norm(self.first(images * self.scale)).relu(), 3, stride=2, padding=1)
        x = F.max_pool2d((x + self.other(self.second(x))).relu(), 2)
        return self.linear(F.adaptive_max_pool2d(x, 1).flatten(1))


class Cancelling(nn.Module):
    """What two large paths leave of each other, which single precision loses."""

    def __init__(self, factor):
        super().__init__()
        self.large, self.small, self.factor = nn.Linear(6, 3), nn.Linear(6, 3), factor

    def forward(self, x):
        large = self.factor * self.large(x)
        return (large + self.small(x)) - large


def in_double(model, inputs, baselines, targets):
    """Maps of the same network, all in double precision."""
    return contributions(copy.deepcopy(model).double(), inputs.double(), baselines.double(), targets)


def assert_close(found, expected):
    largest = expected.flatten(1).abs().amax(dim=1)
    differences = (found.double() - expected).flatten(1).abs().amax(dim=1)
    assert bool((differences <= ROUNDING * largest).all()), (differences / largest).max()


@pytest.mark.parametrize(("modality", "architecture"), KINDS)
@pytest.mark.parametrize("baseline", ["zero", "near", "other"])
def test_maps_are_those_of_double_precision_and_add_up(modality, architecture, baseline):
    (model, _), (inputs, targets) = network(modality, architecture), samples(modality)
    others = {"zero": 0 * inputs, "near": inputs * (1 - 2**-12), "other": inputs.flip(0)}[baseline]
    found = contributions(model, inputs, others, targets, must_add_up=True)
    assert found.dtype == torch.float32
    assert_close(found, in_double(model, inputs, others, targets))
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        logits = [exact(each.double()).gather(1, targets[:, None])[:, 0] for each in (inputs, others)]
    missing = found.double().flatten(1).sum(dim=1) - (logits[0] - logits[1])
    assert bool((missing.abs() <= ROUNDING * found.flatten(1).abs().sum(dim=1)).all())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_pooled_maxima_are_those_of_double_precision_at_any_scale(scale):
    model = trained(Pooling(scale=scale))
    inputs, targets = torch.rand(6, 3, 16, 16), torch.arange(6) % 5
    inputs[:3, :, :9] = 0  # as the dark of a scan, in which all is as at the baseline
    assert_close(contributions(model, inputs, 0 * inputs, targets), in_double(model, inputs, 0 * inputs, targets))
    baselines = torch.rand(3, 3, 16, 16)
    found = contributions_for_each(model, inputs, baselines, targets)
    for number, baseline in enumerate(baselines):
        assert_close(found[:, number], in_double(model, inputs, baseline.expand_as(inputs), targets))


def test_which_number_is_largest_is_decided_in_double_precision():
    """That contributions add up does not tell: they do so wherever they are put."""

    model = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False), nn.MaxPool2d((1, 2)), nn.Flatten()).eval()
    model[0].weight.data.fill_(1.0)
    inputs = torch.tensor([[[[1.0, 1.0]], [[0.0, 1e-9]]]])  # whose second column's sum is larger
    targets = torch.tensor([0])
    found = contributions(model, inputs, 0 * inputs, targets, must_add_up=True)
    assert torch.allclose(found, torch.tensor([[[[0.0, 1.0]], [[0.0, 1e-9]]]]), rtol=1e-6, atol=0)
    in_single = [each.places for each in trace(model, inputs, None).operations if each.places is not None]
    assert in_single == [0], "in single precision the first column has it"


@pytest.mark.parametrize("factor", [1.0, 1e4, 1e7])
def test_large_numbers_that_cancel_out_go_back_in_double_precision(factor):
    torch.manual_seed(0)
    model = Cancelling(factor).eval()
    inputs, targets = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    found = contributions(model, inputs, 0 * inputs, targets, must_add_up=True)
    expected = model.small.weight.detach()[targets] * inputs
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("modality", "architecture"), KINDS)
def test_only_what_magnifies_no_rounding_goes_back_in_single_precision(modality, architecture, monkeypatch):
    (model, _), (inputs, targets) = network(modality, architecture), samples(modality)
    types, rule = set(), _deep_lift._rule

    def seen(operation, base, of_outputs):
        types.update(each.dtype for each in of_outputs if each is not None)
        return rule(operation, base, of_outputs)

    monkeypatch.setattr(_deep_lift, "_rule", seen)
    contributions(model, inputs, 0 * inputs, targets)
    assert types == {torch.float32 if architecture == "cnn" else torch.float64}


@pytest.mark.parametrize(("modality", "architecture"), KINDS)
def test_gradients_that_are_less_precise_than_their_operation_are_those_of_autograd_but_for_rounding(
    modality, architecture
):
    (model, _), (inputs, targets) = network(modality, architecture), samples(modality)
    for operation in trace(model, inputs, targets, linear_norms=True, precise=True).operations:
        torch.manual_seed(0)
        of_outputs = [torch.randn_like(operation.outputs[0]), *[None] * (len(operation.outputs) - 1)]
        entries = [each.detach().requires_grad_() for each in operation.inputs]
        expected = torch.autograd.grad(operation.call(*entries)[0], entries, of_outputs[0], allow_unused=True)
        for one, other in zip(gradient(operation, [of_outputs[0].float(), *of_outputs[1:]]), expected, strict=True):
            assert one.dtype == torch.float32, operation.name
            assert (one - other).abs().max() <= 1e-5 * other.abs().max(), operation.name


class Conditioned(nn.Module):
    """Batch norm whose scale is made of the input."""

    def forward(self, images):
        scale = images.mean(dim=(0, 2, 3)).relu()
        return F.batch_norm(images, torch.zeros(3).to(images), torch.ones(3).to(images), scale).mean(dim=(2, 3))


def _names_of(model):
    return [each.name for each in trace(model, torch.rand(4, 3, 6, 6), None, linear_norms=True).operations]


def test_norms_by_the_training_set_stay_whole_and_others_do_not():
    class Norms(nn.Module):
        def __init__(self):
            super().__init__()
            self.batch, self.instance, self.linear = nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.Linear(3, 5)

        def forward(self, images):
            return self.linear(self.batch(self.instance(images).relu()).mean(dim=(2, 3)))

    model, inputs = trained(Norms()), torch.rand(4, 3, 6, 6)
    names = [[each.name for each in trace(model, inputs, None, linear_norms=whole).operations] for whole in (0, 1)]
    assert names[1].count("native_batch_norm") == 1
    assert "native_batch_norm" not in names[0]
    assert "rsqrt" in names[1], "of the instance norm"
    assert not any("norm" in name for name in _names_of(Conditioned())), "whose scale depends on the input"
    parts = contributions(model, inputs, inputs.flip(0), torch.arange(4), must_add_up=True)
    assert_close(parts, in_double(model, inputs, inputs.flip(0), torch.arange(4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("size", "options"),
    [
        (2, {}),
        (3, {"stride": 2, "padding": 1}),
        (3, {"stride": 1, "dilation": 2}),
        (3, {"stride": 2, "ceil_mode": True}),
        ((1, 2), {"stride": (2, 1)}),
    ],
)
def test_maxima_that_are_traced_and_their_places_are_those_of_pytorch(dtype, size, options):
    class Pool(nn.Module):
        def forward(self, images):
            return F.max_pool2d(images, size, **options).flatten(1)

    images = torch.randn(3, 4, 9, 10, dtype=dtype).relu()  # of which many are the same
    images[0, 0, 0, 0], images[1, 2, 3, 4] = torch.nan, torch.inf
    pooled = next(each for each in trace(Pool(), images, None).operations if each.name == "max_pool2d_with_indices")
    expected, places = F.max_pool2d(images, size, **options, return_indices=True)
    assert torch.equal(pooled.outputs[0].nan_to_num(nan=-1), expected.nan_to_num(nan=-1))
    assert torch.equal(pooled.places, places)
    assert pooled.outputs[0].is_contiguous()

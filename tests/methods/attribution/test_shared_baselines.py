"""DeepLIFT runs all baselines together, and the way back takes no operation's gradient otherwise than autograd does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.methods.baselines.attribution import _deep_lift
from harness.methods.baselines.attribution._deep_lift import contributions, contributions_for_each
from harness.methods.baselines.attribution._operations import gradient, trace
from harness.tracks.passes import Meter
from tests.methods.attribution.nets import KINDS, network, samples
from tests.methods.attribution.test_many_passes import trained

INPUTS, BASELINES = 5, 3


class Layers(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.body = forward

    def forward(self, images):
        return self.body(self, images)


def features(model, images):
    return F.relu(model.norm(model.conv(images)))


def mean(model, images):
    return model.linear(features(model, images).mean(dim=(2, 3)))


def positions_first(model, images):
    tokens = features(model, images).flatten(2).permute(2, 0, 1)
    weights = (tokens @ model.linear.weight.T).softmax(dim=0)
    return (weights * model.linear(tokens)).sum(dim=0)


def two_views_one_behind_the_other(model, images):
    both = torch.cat([features(model, images), features(model, images.flip(3) * 2)])
    first, second = F.max_pool2d(both, 2).mean(dim=(2, 3)).chunk(2)
    return model.linear(first - second)


def samples_turned_round(model, images):
    return mean(model, images.flip(0)).flip(0)


def five_at_a_time(model, images):
    return model.linear(features(model, images).view(INPUTS, 4, -1).amax(dim=2))


TOGETHER = {"mean": mean, "overlapping maxima": lambda m, x: m.linear(F.max_pool2d(features(m, x), 3, 2).mean((2, 3)))}
APART = {
    each.__name__: each
    for each in (positions_first, two_views_one_behind_the_other, samples_turned_round, five_at_a_time)
}


def asked(body):
    model = trained(Layers(body))
    return model, torch.rand(INPUTS, 3, 6, 6) - 0.5, torch.rand(BASELINES, 3, 6, 6) - 0.5, torch.arange(INPUTS) % 3


def alone(model, inputs, baselines, targets):
    """Each input and each baseline in passes of their own, of as many equal rows."""
    parts = torch.empty(INPUTS, BASELINES, *inputs.shape[1:])
    for i, k in torch.cartesian_prod(torch.arange(INPUTS), torch.arange(BASELINES)).tolist():
        rows = (
            inputs[i : i + 1].expand_as(inputs).clone(),
            baselines[k : k + 1].expand_as(inputs),
            targets[i : i + 1].expand(INPUTS),
        )
        parts[i, k] = contributions(model, *rows)[0]
    return parts


@pytest.mark.parametrize("body", [*TOGETHER.values(), *APART.values()], ids=[*TOGETHER, *APART])
def test_each_pair_has_the_contributions_that_it_has_alone_and_they_add_up(body):
    model, inputs, baselines, targets = asked(body)
    found = contributions_for_each(model, inputs, baselines, targets)
    with torch.no_grad():
        logits = model(inputs)[range(INPUTS), targets]
        others = [model(one.expand_as(inputs))[range(INPUTS), targets] for one in baselines]
    assert torch.allclose(found.flatten(2).sum(dim=2), logits[:, None] - torch.stack(others, dim=1), atol=1e-5)
    assert torch.allclose(found, alone(model, inputs, baselines, targets), atol=1e-6)


@pytest.mark.parametrize("body", [*TOGETHER.values(), *APART.values()], ids=[*TOGETHER, *APART])
def test_pairs_have_the_contributions_that_they_have_alone(body):
    model, inputs, baselines, targets = asked(body)
    numbers = torch.arange(INPUTS) % BASELINES
    found = contributions(model, inputs, baselines[numbers], targets, must_add_up=True)
    assert torch.allclose(found, alone(model, inputs, baselines, targets)[range(INPUTS), numbers], atol=1e-6)


@pytest.mark.parametrize("name", [*TOGETHER, *APART])
def test_baselines_run_together_only_where_rows_are_known_to_be_those_of_one_sample_after_the_other(name):
    model, inputs, baselines, _ = asked({**TOGETHER, **APART}[name])
    together = _deep_lift._together(model, trace(model, inputs, None, linear_norms=True, precise=True), baselines)
    assert (together is not None) == (name in TOGETHER)


def test_inputs_and_baselines_are_passed_once_and_one_of_them_twice():
    model, inputs, baselines, targets = asked(mean)
    meter = Meter()
    with meter.counting(model):
        contributions_for_each(model, inputs, baselines, targets)
    assert meter.take().forward == INPUTS + BASELINES + 1


@pytest.mark.parametrize(("modality", "architecture"), KINDS)
@pytest.mark.parametrize("whole_norms", [True, False])
def test_gradients_of_operations_are_those_of_autograd(modality, architecture, whole_norms):
    (model, _), (inputs, targets) = network(modality, architecture), samples(modality)
    for operation in trace(model, inputs, targets, whole_norms=whole_norms).operations:
        torch.manual_seed(0)
        of_outputs = [torch.randn_like(operation.outputs[0]), *[None] * (len(operation.outputs) - 1)]
        entries = [each.detach().requires_grad_() for each in operation.inputs]
        output = operation.call(*entries)[0]
        expected = torch.autograd.grad(output, entries, of_outputs[0], allow_unused=True)
        found = gradient(operation, of_outputs)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True)), operation.name

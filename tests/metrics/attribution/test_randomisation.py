from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from harness.metrics.attribution.randomisation import ParameterRandomisation

from ._worlds import Gradient, assert_independent, weights_id, world

MODALITIES = ("image", "volume", "cloud")


def changed_layers(model, other):
    """Names of the layers whose weights differ."""
    trained, now = model.state_dict(), other.state_dict()
    return {name.rpartition(".")[0] for name in trained if not torch.equal(trained[name], now[name])}


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_score_depends_on_its_sample_only(modality):
    assert_independent(ParameterRandomisation(), world(modality))


@pytest.mark.parametrize("modality", MODALITIES)
def test_definition(modality):
    given = world(modality)
    method = Gradient(given.model)
    scores = given.score(ParameterRandomisation(), explain=method)
    assert len(method.models) == 3  # two convolutions and a linear layer
    maps = [Gradient(model)(given.inputs, given.targets) for model in method.models]
    for row, score in enumerate(scores.tolist()):
        own = given.maps[row].mean(dim=0).flatten().numpy()
        likeness = [abs(spearmanr(own, each[row].mean(dim=0).flatten().numpy()).statistic) for each in maps]
        assert score == pytest.approx(sum(likeness) / 3, abs=1e-12)


def test_layers_are_randomised_from_the_last_to_the_first():
    given = world("image")
    before, method = weights_id(given.model), Gradient(given.model)
    given.score(ParameterRandomisation(), explain=method)
    assert [changed_layers(given.model, each) for each in method.models] == [{"6"}, {"6", "2"}, {"6", "2", "0"}]
    first, second, third = (each.state_dict() for each in method.models)
    assert torch.equal(first["6.weight"], third["6.weight"])  # a layer is drawn once
    assert torch.equal(second["2.weight"], third["2.weight"])
    assert weights_id(given.model) == before


def test_all_methods_and_samples_see_the_same_models():
    given = world("image")
    ids = []
    for rows in (slice(None), slice(2, 3)):
        method = Gradient(given.model, times_input=rows == slice(None))
        given.score(ParameterRandomisation(), rows, explain=method)
        ids.append([weights_id(each) for each in method.models])
    assert ids[0] == ids[1]
    method = Gradient(given.model)
    given.score(ParameterRandomisation(), explain=method, generator=torch.Generator().manual_seed(8))
    assert not set(ids[0]) & {weights_id(each) for each in method.models}


class Unordered(nn.Module):
    """Registers its layers against the order of its calls, has a parameter of its own and one it lends."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 3)
        self.lent = nn.Linear(5, 5)
        self.first = nn.Conv2d(2, 5, 3)
        self.shift = nn.Parameter(torch.randn(5))

    def forward(self, x):
        hidden = self.first(x).relu().mean(dim=(2, 3)) + self.shift
        return self.last(nn.functional.linear(hidden, self.lent.weight, self.lent.bias).relu())


def test_layers_are_ordered_by_their_calls():
    torch.manual_seed(0)
    model, inputs, targets = Unordered().eval(), torch.randn(2, 2, 5, 5), torch.tensor([0, 1])
    method = Gradient(model)
    maps = method(inputs, targets)
    method.models.clear()
    ParameterRandomisation()(model, inputs, targets, maps, explain=method, generator=torch.Generator())
    changed = [changed_layers(model, each) for each in method.models]
    assert changed[:2] == [{"last"}, {"last", "first"}]
    assert changed[-1] == {"last", "first", "lent", ""}


@pytest.mark.parametrize(("stages", "expected"), [(1, [3]), (2, [1, 3]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_many_layers_are_randomised_in_few_stages(stages, expected):
    given = world("image")
    method = Gradient(given.model)
    given.score(ParameterRandomisation(stages=stages), explain=method)
    assert [len(changed_layers(given.model, each)) for each in method.models] == expected


def test_drawn_weights_are_spread_as_the_trained_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 200)).eval()
    with torch.no_grad():
        model[1].weight.mul_(3).add_(0.5)
    given = world("image")
    method = Gradient(model)
    inputs, maps = given.inputs.float(), given.maps.float()
    ParameterRandomisation()(model, inputs, given.targets, maps, explain=method, generator=torch.Generator())
    trained, drawn = model[1].weight, method.models[0][1].weight
    assert drawn.mean().item() == pytest.approx(trained.mean().item(), abs=0.01)
    assert drawn.std().item() == pytest.approx(trained.std().item(), rel=0.02)
    assert abs(torch.corrcoef(torch.stack([trained.flatten(), drawn.flatten()]))[0, 1].item()) < 0.03


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_maps_that_do_not_look_at_the_model(value):
    given = world("image")
    same = given.score(ParameterRandomisation(), explain=lambda x, y, model=None: x, maps=given.inputs)
    torch.testing.assert_close(same, torch.ones(5, dtype=torch.float64))
    opposite = given.score(ParameterRandomisation(), explain=lambda x, y, model=None: -x, maps=given.inputs)
    torch.testing.assert_close(opposite, torch.ones(5, dtype=torch.float64))
    constant = torch.full_like(given.inputs, value)
    never = given.score(ParameterRandomisation(), explain=lambda x, y, model=None: constant, maps=constant)
    torch.testing.assert_close(never, torch.ones(5, dtype=torch.float64))
    vanished = given.score(ParameterRandomisation(), explain=lambda x, y, model=None: constant, maps=given.inputs)
    torch.testing.assert_close(vanished, torch.zeros(5, dtype=torch.float64))


def test_noise_is_unlike_anything():
    given = world("image")
    generator = torch.Generator().manual_seed(0)

    def noise(x, y, model=None):
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    scores = given.score(ParameterRandomisation(), explain=noise, maps=noise(given.inputs, None))
    # 64 positions: |rank correlation| of independent maps is about sqrt(2 / (63 pi)) = 0.10.
    assert scores.mean().item() == pytest.approx(0.10, abs=0.05)


def test_impossible_constants_and_models():
    with pytest.raises(ValueError, match="stages"):
        ParameterRandomisation(stages=0)
    given = world("image")
    model = nn.Sequential(nn.Flatten()).eval()
    with pytest.raises(ValueError, match="no parameters"):
        given.score(ParameterRandomisation(), model=model)

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.data.digits import POINTS, VOLUME_SIDE
from harness.metrics.attribution import METRICS
from harness.metrics.attribution._prepared import prepared
from harness.metrics.attribution.forwards import Forwards
from harness.tracks.attribution.models import Description, build
from harness.tracks.attribution.networks import FAMILIES, build_network

from ._worlds import world

SHAPES = {"image": (1, 28, 28), "volume": (1, *[VOLUME_SIDE] * 3), "point-cloud": (3, POINTS)}


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, 3)).eval()


class By(nn.Module):
    """Multiplies the logits by what a function says of the inputs."""

    def __init__(self, factor):
        super().__init__()
        self.model, self.factor = network(), factor

    def forward(self, inputs):
        return self.model(inputs) * self.factor(inputs)


def close(model, found, inputs):
    with torch.inference_mode():
        torch.testing.assert_close(found(inputs), model(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_embedded_network_is_prepared_and_answers_the_same(family):
    torch.manual_seed(0)
    model = build_network(family).eval()
    inputs = torch.rand(9, *SHAPES[FAMILIES[family].modality])
    found = prepared(model, inputs[:5])
    assert found is not model
    for some in (inputs, inputs[:1], inputs * 3 - 1):
        close(model, found, some)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_network_is_prepared_from_any_number_of_inputs(size):
    model, inputs = network(), torch.rand(8, 2, 6, 6)
    found = prepared(model, inputs[:size])
    assert found is not model
    close(model, found, inputs)
    close(model, found, inputs[:3])


@pytest.mark.parametrize(
    "factor",
    [
        lambda inputs: 2.0 if inputs.mean() > 0.5 else 1.0,
        lambda inputs: 2.0 if inputs.shape[0] > 5 else 1.0,
        lambda inputs: float(inputs.sum()),
        lambda inputs: torch.from_numpy(inputs.numpy().max(axis=(1, 2, 3), keepdims=True)[:, 0, 0]),
        lambda inputs: len(inputs),
        lambda inputs: torch.rand(len(inputs), 1),
        lambda inputs: torch.stack([each.mean()[None] for each in inputs]),
    ],
    ids=["numbers", "size of the batch", "a number", "numpy", "length", "chance", "one by one"],
)
def test_what_a_trace_would_forget_is_run_as_it_is(factor):
    model, inputs = By(factor).eval(), torch.rand(8, 2, 6, 6)
    assert prepared(model, inputs) is model


def test_a_network_without_a_tensor_as_its_answer_is_run_as_it_is():
    class Named(nn.Module):
        def forward(self, inputs):
            return {"logits": inputs.flatten(1)[:, :3], "note": "x"}

    model = Named().eval()
    assert prepared(model, torch.rand(4, 2, 6, 6)) is model


SOURCE = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    def forward(self, x):
        logits = self.inner(x)
        return {"features": x, "logits": logits}
def build():
    return Net()
"""


def test_a_network_that_answers_with_more_than_logits_is_prepared_too():
    model = build(Description(source=SOURCE), {}, "cpu").network
    inputs = torch.rand(6, 2, 6, 6)
    found = prepared(model, inputs)
    assert found is not model
    close(model, found, inputs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("modality", ["image", "volume", "cloud"])
def test_scores_and_passes_are_the_same(metric, modality):
    given = world(modality, samples=3, dtype=torch.float32)
    plain, runs = Forwards(given.model), Forwards(given.model, prepare=True)
    made = METRICS[metric](**({"steps": 4} if metric == "continuity" else {}))
    expected = given.score(made, model=plain)
    torch.testing.assert_close(given.score(made, model=runs), expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert runs.count == plain.count
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in given.model.modules())

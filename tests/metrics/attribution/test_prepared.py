from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.data.digits import POINTS, VOLUME_SIDE
from harness.metrics.attribution import METRICS
from harness.metrics.attribution._prepared import _Fused, prepared
from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.map_batch import MapBatch
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


def convolutions() -> nn.Module:
    """Of images, and with more convolutions than linear layers: what oneDNN puts together."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_convolutional_networks_of_images_are_put_together(family):
    inputs = torch.rand(4, *SHAPES[FAMILIES[family].modality])
    assert isinstance(prepared(build_network(family).eval(), inputs), _Fused) == (family in ("cnn", "resnet"))


@pytest.mark.parametrize(
    "layout",
    [
        lambda inputs: inputs,
        lambda inputs: inputs.transpose(2, 3),
        lambda inputs: inputs.to(memory_format=torch.channels_last),
        lambda inputs: inputs[:1].expand(8, -1, -1, -1),
        lambda inputs: inputs.flip(0)[::3],
        lambda inputs: inputs[:0],
        lambda inputs: inputs.repeat(3, 1, 1, 1)[:19],
    ],
    ids=["contiguous", "transposed", "channels last", "expanded", "some", "none", "more than are run at once"],
)
def test_layers_put_together_take_inputs_however_they_lie_and_however_many(layout):
    model, inputs = convolutions(), torch.randn(8, 1, 12, 12)
    found = prepared(model, inputs, 8)
    assert isinstance(found, _Fused)
    some = layout(inputs)
    kept = some.clone()
    close(model, found, some)
    assert torch.equal(some, kept)


def test_the_answer_for_an_input_does_not_depend_on_how_many_there_are():
    inputs = torch.randn(21, 1, 12, 12)
    found = prepared(convolutions(), inputs, 8)
    with torch.inference_mode():
        alone = torch.cat([found(each) for each in inputs.split(1)])
        assert all(torch.equal(found(inputs[:count]), alone[:count]) for count in range(1, 22))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("broken", [False, True])
def test_fusion_stays_switched_as_it_was(monkeypatch, before, broken):
    if broken:
        monkeypatch.setattr(torch.jit, "freeze", lambda traced: 1 / 0)
    monkeypatch.setattr(torch.jit, "optimize_for_inference", lambda traced: traced)  # knows no fusion
    torch.jit.enable_onednn_fusion(before)
    try:
        prepared(convolutions(), torch.rand(8, 1, 12, 12), 8)
        assert torch.jit.onednn_fusion_enabled() == before
    finally:
        torch.jit.enable_onednn_fusion(False)


@pytest.mark.parametrize("freeze", [lambda traced: 1 / 0, lambda traced: lambda inputs: traced(inputs) * 1.001])
def test_layers_that_cannot_be_put_together_or_then_say_something_else_are_run_one_by_one(monkeypatch, freeze):
    monkeypatch.setattr(torch.jit, "freeze", freeze)
    monkeypatch.setattr(torch.jit, "optimize_for_inference", lambda traced: traced)
    model, inputs = convolutions(), torch.rand(8, 1, 12, 12)
    found = prepared(model, inputs, 8)
    assert found is not model
    assert not isinstance(found, _Fused)
    close(model, found, inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_only_single_precision_is_put_together(dtype):
    assert not isinstance(prepared(convolutions().to(dtype), torch.rand(8, 1, 12, 12, dtype=dtype), 8), _Fused)


class Wasteful(nn.Module):
    """Computes more than its logits need."""

    def __init__(self):
        super().__init__()
        self.model = network()

    def forward(self, inputs):
        return self.model(inputs) + 0 * self.model(inputs * 2)


class Knowing(Wasteful):
    """Has a `cheaper` network of the same logits, or pretends to."""

    def __init__(self, cheaper):
        super().__init__()
        self._cheaper = cheaper

    def _for_inference(self):
        return self._cheaper(self.model)


def test_a_cheaper_network_that_a_model_knows_takes_its_place():
    model, inputs = Knowing(lambda own: own).eval(), torch.rand(8, 2, 6, 6)
    found, whole = prepared(model, inputs), prepared(Wasteful().eval(), inputs)
    assert 0 < str(found.inlined_graph).count("conv") < str(whole.inlined_graph).count("conv")
    close(model, found, inputs)


@pytest.mark.parametrize(
    "cheaper", [lambda own: nn.Sequential(own, nn.Softmax(dim=1)), lambda own: 1 / 0, lambda own: 3]
)
def test_a_cheaper_network_that_says_something_else_does_not(cheaper):
    model = Knowing(cheaper).eval()
    assert prepared(model, torch.rand(8, 2, 6, 6)) is model


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
        lambda inputs: inputs.mean().tolist(),
        lambda inputs: 2.0 if torch.equal(inputs, inputs.round()) else 1.0,
        lambda inputs: 2.0 if torch.allclose(inputs, inputs + 0.2, atol=0.1) else 1.0,
        lambda inputs: 2.0 if len(torch.nonzero(inputs > 0.9)) > 100 else 1.0,
        lambda inputs: torch.from_numpy(inputs.numpy().max(axis=(1, 2, 3), keepdims=True)[:, 0, 0]),
        lambda inputs: len(inputs),
        lambda inputs: torch.rand(len(inputs), 1),
        lambda inputs: torch.stack([each.mean()[None] for each in inputs]),
    ],
    ids=[
        "numbers",
        "size of the batch",
        "a number",
        "list",
        "equal",
        "close",
        "nonzero",
        "numpy",
        "length",
        "chance",
        "one by one",
    ],
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


def test_a_tuple_is_no_answer():
    model = By(lambda inputs: 1)
    model.forward = lambda inputs: (model.model(inputs), inputs)
    assert prepared(model.eval(), torch.rand(4, 2, 6, 6)) is model


@pytest.mark.parametrize("kind", ["training", "hook", "pre-hook", "dropout"])
def test_what_a_trace_would_not_do_again_is_run_as_it_is_and_draws_nothing(kind):
    model, seen = network(), []
    if kind == "training":
        model[1].train()
    elif kind == "dropout":
        model.insert(4, nn.Dropout().train())
    elif kind == "hook":
        model[2].register_forward_hook(lambda module, given, out: seen.append(out))
    else:
        model[2].register_forward_pre_hook(lambda module, given: seen.append(given))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    assert prepared(model, torch.rand(4, 2, 6, 6)) is model
    after = torch.rand(3)
    torch.manual_seed(5)
    torch.rand(4, 2, 6, 6)
    assert torch.equal(torch.rand(3), after)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert seen == []


def test_numbers_drawn_while_trying_leave_no_trace():
    model = By(lambda inputs: torch.rand(()))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    prepared(model.eval(), torch.ones(4, 2, 6, 6))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_prepared_network_takes_inputs_however_they_lie_in_memory_and_leaves_them(dtype):
    model = nn.Sequential(nn.ReLU(inplace=True), network()).eval().to(dtype)
    inputs = torch.randn(8, 2, 6, 6, dtype=dtype)
    kept = inputs.clone()
    found = prepared(model, inputs)
    assert found is not model
    assert torch.equal(inputs, kept)
    for some in (
        inputs.transpose(2, 3),
        inputs[::3],
        inputs.to(memory_format=torch.channels_last),
        inputs[:1].expand(3, -1, -1, -1),
    ):
        with torch.inference_mode():
            torch.testing.assert_close(found(some.clone()), model(some.clone()), rtol=1e-5, atol=1e-6)


def test_parts_that_share_weights_are_prepared():
    model = network()
    model.append(nn.Linear(3, 8)).append(nn.ReLU()).append(model[5])
    inputs = torch.rand(5, 2, 6, 6)
    found = prepared(model.eval(), inputs)
    assert found is not model
    close(model, found, inputs)


def test_no_input_prepares_nothing():
    runs = Forwards(network(), prepare=True)
    assert runs.logits(torch.rand(0, 2, 6, 6)).shape == (0, 0)
    samples = MapBatch(torch.rand(2, 2, 6, 6), torch.tensor([0, 1]), torch.rand(2, 1, 6, 6), 0)
    answer = runs.curve(
        samples, 3, lambda rows, steps: samples.inputs[rows], wanted=torch.zeros(2, 3, dtype=torch.bool)
    )
    assert answer.isnan().all()


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

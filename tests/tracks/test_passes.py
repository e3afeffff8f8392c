"""Passes through networks are counted by the definition: samples in, samples whose gradients come back."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from harness.spec.result import Passes
from harness.tracks.passes import Meter

torch = pytest.importorskip("torch")


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def inputs(count: int, gradients: bool = True) -> torch.Tensor:
    return torch.randn(count, 3, requires_grad=gradients)


def passes(forward: int, backward: int) -> Passes:
    return Passes(forward=forward, backward=backward)


def test_forwards_and_backwards_are_counted_by_the_sample() -> None:
    meter, model = Meter(), network()
    with meter.counting(model):
        model(inputs(5)).sum().backward()
        with torch.no_grad():
            model(inputs(7))
        outputs = model(inputs(2))
        for column in range(2):  # one gradient of each output
            outputs[:, column].sum().backward(retain_graph=True)
    assert meter.take() == passes(5 + 7 + 2, 5 + 2 * 2)
    assert meter.take() == passes(0, 0), "what was taken is not taken twice"


def test_copies_that_a_method_makes_count_and_other_networks_do_not() -> None:
    meter, model, other = Meter(), network(), network()
    with meter.counting(model):
        copy.deepcopy(model)(inputs(5))
        torch.nn.Sequential(model, torch.nn.Softmax(dim=1))(inputs(7))
        other(inputs(11))
        model[0](inputs(13))
    assert meter.take() == passes(5 + 7, 0)


def test_nothing_is_counted_outside_of_a_call() -> None:
    meter, model = Meter(), network()
    with pytest.raises(ZeroDivisionError), meter.counting(model):
        raise ZeroDivisionError
    model(inputs(5))
    assert meter.take() == passes(0, 0)
    with meter.counting(None):
        model(inputs(5))
    assert meter.take() == passes(5, 0), "it was marked before"


def test_a_method_finds_nothing_in_the_network_and_its_numbers_are_the_same() -> None:
    meter, model = Meter(), network()
    given = inputs(5)
    (expected,) = torch.autograd.grad(model(given)[:, 0].sum(), given)
    state = copy.deepcopy(model.state_dict())
    with meter.counting(model):
        assert all(not module._forward_hooks and not module._backward_hooks for module in model.modules())
        (found,) = torch.autograd.grad(model(given)[:, 0].sum(), given)
    assert torch.equal(found, expected)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_networks_and_function_transforms_still_work() -> None:
    meter, model, given = Meter(), network(), inputs(5)
    with meter.counting(model):
        assert torch.equal(torch.jit.script(model)(given), model(given))
        assert torch.equal(torch.jit.trace(model, given)(given), model(given))
        each = torch.func.vmap(torch.func.grad(lambda one: model(one[None])[0, 0]))(given.detach())
        whole = torch.autograd.functional.jacobian(model, given)
    assert torch.allclose(each, torch.stack([whole[row, 0, row] for row in range(5)]), atol=1e-6)


def test_the_networks_of_the_embedded_confidence_benchmark_count_in_whatever_way_they_are_asked() -> None:
    from harness.tracks.confidence.host import ConfidenceHost
    from harness.tracks.confidence.networks import build_network

    def method(outputs: object) -> torch.Tensor:
        model = outputs.model  # type: ignore[attr-defined]
        with torch.no_grad():
            model(torch.zeros(3, 1, 28, 28))
            model.outputs(torch.zeros(4, 1, 28, 28))
        return torch.arange(5.0)

    weights = {f"network/{name}": value.numpy() for name, value in build_network("plain", 10).state_dict().items()}
    host = ConfidenceHost(method, "cpu")
    host.fit({"network": {"family": "plain", "classes": 10}, "reference": []}, weights)
    assert host.passes() == passes(0, 0)
    host.score({}, {"logits": np.zeros((5, 10))})
    assert host.passes() == passes(7, 0)
    host.fit({"network": None, "reference": []}, {})
    assert host.passes() is None, "it was given no network"

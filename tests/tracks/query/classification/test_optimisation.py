"""Schedules, LARS, and seeds that leave no trace."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from harness.spec.errors import UsageError
from harness.spec.query import Optimiser
from harness.tracks.query.classification.optimisation import Lars, Nesterov, minimise, rate, reproducible


def test_cosine_with_a_warm_up():
    at = rate(Optimiser(learning_rate=1, schedule="cosine", warmup_epochs=2), epochs=10, steps=5)
    assert [at(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert at(10) == pytest.approx(1.0)
    assert at(30) == pytest.approx(0.5)  # half way from epoch 2 to epoch 10
    assert at(20) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert at(50) == pytest.approx(0.0)


def test_a_tenth_after_each_quarter():
    at = rate(Optimiser(learning_rate=1, schedule="step"), epochs=80, steps=3)
    assert [at(3 * epoch) for epoch in (0, 19, 20, 39, 40, 60, 79)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.001, 0.001]
    )
    short = rate(Optimiser(learning_rate=1, schedule="step"), epochs=2, steps=1)
    assert short(0) == 1


def test_constant():
    at = rate(Optimiser(learning_rate=1, schedule="constant"), epochs=3, steps=3)
    assert {at(step) for step in range(9)} == {1.0}


def test_lars_by_hand():
    weights = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    bias = torch.nn.Parameter(torch.tensor([2.0]))
    optimiser = Lars([weights, bias], momentum=0.9, weight_decay=0.1)
    expected_w, expected_b, speed_w, speed_b = np.array([[3.0, 4.0]]), 2.0, 0.0, 0.0
    for _ in range(3):
        weights.grad, bias.grad = torch.tensor([[1.0, 0.0]]), torch.tensor([1.0])
        optimiser.step(0.5)
        change = np.array([[1.0, 0.0]]) + 0.1 * expected_w
        change = change * 1e-3 * np.linalg.norm(expected_w) / np.linalg.norm(change)
        speed_w, speed_b = 0.9 * speed_w + change, 0.9 * speed_b + 1.0
        expected_w, expected_b = expected_w - 0.5 * speed_w, expected_b - 0.5 * speed_b
    np.testing.assert_allclose(weights.detach().numpy(), expected_w, rtol=1e-5)
    assert bias.item() == pytest.approx(expected_b)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.1), (0.9, 0.0), (0.0, 0.1)])
def test_nesterov_is_that_of_torch_to_the_bit(momentum, weight_decay):
    layers = [torch.nn.Linear(5, 3) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    ours = Nesterov(layers[0].parameters(), momentum, weight_decay)
    theirs = torch.optim.SGD(layers[1].parameters(), 1.0, momentum, weight_decay=weight_decay, nesterov=momentum > 0)
    for step in range(5):
        inputs = torch.randn(7, 5)
        for layer in layers:
            layer.zero_grad()
            layer(inputs).square().mean().backward()
        ours.step(0.3 / (1 + step))
        theirs.param_groups[0]["lr"] = 0.3 / (1 + step)
        theirs.step()
        assert all(map(torch.equal, layers[0].parameters(), layers[1].parameters()))


def test_training_does_without_the_compiler_of_torch():
    code = """if True:
        import sys, torch
        from harness.spec.query import Optimiser
        from harness.tracks.query.classification.optimisation import minimise
        layer = torch.nn.Linear(1, 1)
        for kind in ("sgd", "lars"):
            spec = Optimiser(learning_rate=0.1, kind=kind)
            list(minimise(layer, spec, 1, 2, lambda: (layer(torch.ones(2, 1)).mean() for _ in range(2))))
        print("torch._dynamo" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_loss_that_explodes_is_told():
    layer = torch.nn.Linear(1, 1)
    spec = Optimiser(learning_rate=1e30, schedule="constant")
    with pytest.raises(UsageError, match=r"came apart in epoch \d.*learning_rate below 1e\+30"):
        list(minimise(layer, spec, 5, 4, lambda: (layer(torch.ones(2, 1)).square().sum() for _ in range(4))))


def test_what_is_drawn_depends_on_the_entropy_alone():
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    drawn = []
    for entropy in [("a", 1, 0), ("a", 1, 1), ("a", 1, 0)]:
        with reproducible("cpu", *entropy):
            drawn.append(torch.rand(5))
            assert torch.get_num_threads() == 1
        torch.testing.assert_close(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(ZeroDivisionError), reproducible("cpu", 1):
        _ = torch.rand(3) / (1 // 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads

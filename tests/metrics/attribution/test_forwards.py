from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.map_batch import MapBatch

from ._worlds import world


def samples_of(given, rows=slice(None), seed=7):
    return MapBatch(given.inputs[rows], given.targets[rows], given.maps[rows], seed)


class Counting(nn.Module):
    """Remembers the sizes of the batches it was given."""

    def __init__(self, model):
        super().__init__()
        self.model, self.sizes = model, []

    def forward(self, inputs):
        self.sizes.append(len(inputs))
        return self.model(inputs)


@pytest.fixture
def given():
    return world("image", samples=5)


@pytest.mark.parametrize("size", [1, 3, 32])
def test_logits_do_not_depend_on_the_micro_batch(given, size):
    with torch.no_grad():
        expected = given.model(given.inputs)
    torch.testing.assert_close(Forwards(given.model, micro_batch=size).logits(given.inputs), expected)


def test_no_inputs(given):
    assert len(Forwards(given.model).logits(given.inputs[:0])) == 0


def test_batches_are_small_and_full(given):
    model = Counting(given.model).eval()
    forwards = Forwards(model, micro_batch=4)
    samples = samples_of(given)
    forwards.curve(samples, 7, lambda rows, steps: given.inputs[rows])
    assert model.sizes == [4] * 8 + [3]
    assert forwards.count == 35


@pytest.mark.parametrize("read", ["probability", "logit", "correct"])
def test_curve(given, read):
    """Step k multiplies the input by k."""
    samples = samples_of(given)
    curve = Forwards(given.model, micro_batch=3).curve(
        samples, 4, lambda rows, steps: given.inputs[rows] * steps.view(-1, 1, 1, 1), read
    )
    for row, target in enumerate(given.targets.tolist()):
        for step in range(4):
            with torch.no_grad():
                logits = given.model(given.inputs[row : row + 1] * step)[0]
            expected = {
                "probability": logits.softmax(0)[target],
                "logit": logits[target],
                "correct": logits.argmax() == target,
            }[read]
            assert float(curve[row, step]) == pytest.approx(float(expected), abs=1e-12)


def test_only_what_is_wanted_is_run(given):
    samples, forwards = samples_of(given), Forwards(given.model, micro_batch=2)
    perturb = lambda rows, steps: given.inputs[rows] + steps.view(-1, 1, 1, 1)  # noqa: E731
    whole = forwards.curve(samples, 3, perturb)
    wanted = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    before = forwards.count
    part = forwards.curve(samples, 3, perturb, wanted=wanted)
    assert forwards.count - before == 7
    torch.testing.assert_close(part[wanted], whole[wanted])
    assert bool(part[~wanted].isnan().all())


def test_steps_of_a_sample_come_one_after_the_other(given):
    seen = []

    def perturb(rows, steps):
        seen.extend(zip(rows.tolist(), steps.tolist(), strict=True))
        return given.inputs[rows]

    Forwards(given.model, micro_batch=2).curve(samples_of(given), 3, perturb)
    assert seen == [(row, step) for row in range(5) for step in range(3)]


def test_probability(given):
    with torch.no_grad():
        expected = given.model(given.inputs).softmax(dim=1).gather(1, given.targets[:, None])[:, 0]
    torch.testing.assert_close(Forwards(given.model).probability(samples_of(given)), expected)


class Memory(dict):
    def put(self, key, values):
        self[key] = values


def test_what_is_shared_is_computed_once(given):
    store, calls = Memory(), []

    def compute():
        calls.append(1)
        return {"value": torch.tensor([float(len(calls))])}

    forwards = Forwards(given.model, store=store, identity="one")
    for _ in range(2):
        assert forwards.shared("a", {"k": 1}, samples_of(given), compute)["value"].tolist() == [1.0]
    again = Forwards(given.model, store=store, identity="one")
    assert again.shared("a", {"k": 1}, samples_of(given), compute)["value"].tolist() == [1]
    maps = dataclasses.replace(samples_of(given), raw_maps=given.maps * 2)
    assert forwards.shared("a", {"k": 1}, maps, compute)["value"].tolist() == [1.0]
    assert len(calls) == len(store) == 1


def test_logits_of_the_inputs_are_shared_whatever_the_seed(given):
    forwards = Forwards(given.model, micro_batch=8)
    for seed in (7, 8):
        forwards.base(samples_of(given, seed=seed))
    assert forwards.count == len(given.inputs)


def test_what_is_not_shared(given):
    forwards, calls = Forwards(given.model), []

    def compute():
        calls.append(1)
        return {"value": torch.tensor([float(len(calls))])}

    other_target = dataclasses.replace(samples_of(given), targets=(given.targets + 1) % 3)
    asked = [
        (forwards, "a", {"k": 1}, samples_of(given)),
        (forwards, "b", {"k": 1}, samples_of(given)),
        (forwards, "a", {"k": 2}, samples_of(given)),
        (forwards, "a", {"k": 1}, samples_of(given, seed=8)),
        (forwards, "a", {"k": 1}, samples_of(given, slice(0, 4))),
        (forwards, "a", {"k": 1}, samples_of(given, [1, 0, 2, 3, 4])),
        (forwards, "a", {"k": 1}, other_target),
    ]
    for number, (which, name, constants, samples) in enumerate(asked, start=1):
        assert which.shared(name, constants, samples, compute)["value"].tolist() == [number]


def test_a_store_keeps_networks_apart_and_asks_who_they_are(given):
    store = Memory()
    for number, identity in enumerate(("one", "another"), start=1):
        forwards = Forwards(given.model, store=store, identity=identity)
        found = forwards.shared("a", {}, samples_of(given), lambda n=number: {"value": torch.tensor([float(n)])})
        assert found["value"].tolist() == [number]
    with pytest.raises(ValueError, match="a store needs the identity"):
        Forwards(given.model, store=store)


def test_the_micro_batch_follows_the_largest_activation():
    small = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 8 * 8, 2)).eval()
    assert Forwards(small).micro_batch(torch.rand(2, 1, 8, 8)) == 32
    wide = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)).eval()
    assert Forwards(wide).micro_batch(torch.rand(2, 1, 96, 96)) == (8 << 20) // (16 * 96 * 96 * 4)
    assert Forwards(wide).micro_batch(torch.rand(1, 1, 256, 256)) == 8


def test_features_are_what_the_last_linear_layer_is_given(given):
    with torch.no_grad():
        expected = given.model[:-1](given.inputs)
    torch.testing.assert_close(Forwards(given.model, micro_batch=2).features(given.inputs), expected)
    with torch.no_grad():
        first = given.model[0](given.inputs).flatten(1)
    torch.testing.assert_close(Forwards(given.model, representation="0").features(given.inputs), first)
    with pytest.raises(ValueError, match="no linear layer"):
        Forwards(nn.Sequential(nn.Flatten())).features(given.inputs)


def test_nothing_is_left_on_the_model(given):
    forwards = Forwards(given.model)
    forwards.features(given.inputs)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in given.model.modules())
    assert all(parameter.grad is None for parameter in given.model.parameters())

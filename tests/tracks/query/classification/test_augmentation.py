"""What augmentation may and may not do to an image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from harness.spec.augmentation import Steps
from harness.tracks.query.classification import randaugment
from harness.tracks.query.classification.augmentation import Augmentation, contrastive_view, steps_of
from harness.tracks.query.classification.warps import _crops

LOW, HIGH = -0.4, 2.8
STEPS = TypeAdapter(Steps)


def images(channels=3, side=16, count=64, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(LOW, HIGH, (count, channels, side, side)).astype(np.float32)
    pixels[0, :, 0, 0], pixels[0, :, 0, 1] = LOW, HIGH
    return pixels


def ends(channels, low=LOW, high=HIGH):
    """What an augmentation wants to know of a data set."""
    return SimpleNamespace(
        black=np.full(channels, low, dtype=np.float32), white=np.full(channels, high, dtype=np.float32)
    )


def augmented(steps, pixels, seed=0):
    torch.manual_seed(seed)
    return Augmentation(steps, ends(pixels.shape[1]), "cpu")(torch.from_numpy(pixels.copy()))


def of_levels(steps, levels, seed=0):
    """Steps on levels (n, c, h, w) from 0 to 255, as levels."""
    torch.manual_seed(seed)
    return (
        Augmentation(STEPS.validate_python(steps), ends(levels.shape[1], 0, 255), "cpu")(torch.from_numpy(levels))
        .round()
        .numpy()
    )


EVERY = [
    {"kind": "flip", "direction": "vertical"},
    {"kind": "shift", "share": 0.1, "outside": "black"},
    {"kind": "resized-crop"},
    {"kind": "rotation", "degrees": 180},
    {"kind": "affine", "degrees": 180, "translate": 0.1, "scale": (0.7, 1.3)},
    {"kind": "jitter", "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2},
    {"kind": "grey", "probability": 0.2},
    {"kind": "blur", "width": 0.4},
    {"kind": "randaugment", "n": 2, "m": 10},
    {"kind": "randaugment", "n": 1, "m": 2, "operations": "extended"},
    {"kind": "cutout", "side": 0},
]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(16, 16), (9, 13), (1, 2)])
@pytest.mark.parametrize("kind", ["none", "basic", "randaugment", "contrastive", "every"])
def test_shape_range_and_source_are_kept(kind, channels, shape):
    pixels = images(channels)[:, :, : shape[0], : shape[1]].copy()
    inputs = pixels.copy()
    steps = {"contrastive": contrastive_view(True), "every": STEPS.validate_python(EVERY)}.get(kind)
    changed = augmented(steps_of(kind, True) if steps is None else steps, inputs)
    assert changed.shape == pixels.shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert changed.min() >= LOW - 1e-4
    assert changed.max() <= HIGH + 1e-4
    np.testing.assert_array_equal(inputs, pixels)
    assert np.array_equal(changed.numpy(), pixels) == (kind == "none")


def test_basic_shifts_digits_by_two_pixels_and_never_flips():
    canvas = np.zeros((400, 1, 28, 28), dtype=np.float32)
    canvas[:, 0, 13, 10], canvas[:, 0, 13, 11] = 1, 2  # a mirrored one would have 2 before 1
    changed = augmented(steps_of("basic", False), canvas).numpy()[:, 0]
    ones, twos = np.argwhere(changed == 1), np.argwhere(changed == 2)
    np.testing.assert_array_equal(ones[:, 0], np.arange(400))
    np.testing.assert_array_equal(twos, ones + np.array([0, 0, 1]))
    assert {tuple(each) for each in ones[:, 1:]} == {(13 + a, 10 + b) for a in range(-2, 3) for b in range(-2, 3)}


def test_basic_shifts_others_by_an_eighth_and_flips_half():
    canvas = np.zeros((2000, 1, 32, 32), dtype=np.float32)
    canvas[:, 0, 16, 10], canvas[:, 0, 16, 11] = 1, 2
    changed = augmented(steps_of("basic", True), canvas).numpy()[:, 0]
    ones, twos = np.argwhere(changed == 1), np.argwhere(changed == 2)
    step = twos[:, 2] - ones[:, 2]
    assert set(step) == {-1, 1}
    assert (step < 0).mean() == pytest.approx(0.5, abs=0.05)
    assert set(ones[:, 1]) == set(range(12, 21))


def test_a_name_stands_for_steps():
    shift, flip, strong, cutout = steps_of("randaugment", True)
    assert (shift, flip) == steps_of("basic", True)
    assert (strong.n, strong.m, strong.probability, cutout.side) == (2, 10, 0.5, 0.5)
    assert steps_of(steps_of("randaugment", True), False) == (shift, flip, strong, cutout)


def test_what_comes_in_from_outside_is_black_where_the_step_says_so():
    white = np.full((200, 1, 8, 8), 255, dtype=np.float32)
    shifted = of_levels([{"kind": "shift", "share": 0.25, "outside": "black"}], white)
    kept = (shifted == 255).sum((1, 2, 3))
    assert {int(each) for each in kept} == {a * b for a in (6, 7, 8) for b in (6, 7, 8)}
    assert (shifted[shifted != 255] == 0).all()
    mirrored = of_levels([{"kind": "shift", "share": 0.25}], white)
    assert (mirrored == 255).all()


def test_vertical_flips_turn_half_of_the_images_upside_down():
    levels = np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2).repeat(1000, axis=0)
    flipped = of_levels([{"kind": "flip", "direction": "vertical"}], levels)
    upside_down = (flipped == levels[:, :, ::-1]).all((1, 2, 3))
    assert ((flipped == levels).all((1, 2, 3)) != upside_down).all()
    assert upside_down.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("probability", "kind"), [(0.2, "grey"), (0.8, "jitter")])
def test_a_step_is_carried_out_as_often_as_it_says(probability, kind):
    levels = np.tile(np.array([200.0, 100, 50], dtype=np.float32)[:, None, None], (3000, 1, 4, 4))
    strength = {"brightness": 0.5} if kind == "jitter" else {}
    changed = of_levels([{"kind": kind, "probability": probability, **strength}], levels)
    share = (changed != levels).any((1, 2, 3)).mean()
    assert share == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize(("probability", "n"), [(1.0, 1), (0.5, 1), (0.5, 2)])
def test_randaugment_carries_out_each_of_its_operations_with_its_probability(probability, n):
    """Of 14 operations all but the identity change this image, but of nine levels not the first two of solarize (from
    231 and 205 on) and the first of the translations (0.96 of a pixel); with two, one of them is enough."""
    levels = np.random.default_rng(5).integers(20, 200, (1, 3, 32, 32)).astype(np.float32).repeat(4000, axis=0)
    changed = of_levels([{"kind": "randaugment", "n": n, "m": 10, "probability": probability}], levels)
    untouched = 1 - probability * (13 - 4 / 9) / 14
    assert (changed == levels).all((1, 2, 3)).mean() == pytest.approx(untouched**n, abs=0.025)


@pytest.mark.parametrize(
    ("m", "operations", "levels"), [(10, "fixmatch", range(1, 10)), (2, "fixmatch", [1]), (2, "extended", [2])]
)
def test_levels_of_randaugment(monkeypatch, m, operations, levels):
    """One of 1 to m - 1, each as probable, as FixMatch draws them; in the extended list m itself."""
    seen = []

    def noted(images, strength):
        seen.extend((strength.flatten() * 10).round().int().tolist())
        return images

    monkeypatch.setitem(randaugment.OPERATIONS, operations, (noted,))
    steps = [{"kind": "randaugment", "n": 1, "m": m, "operations": operations}]
    of_levels(steps, np.zeros((5000, 1, 2, 2), dtype=np.float32))
    found = np.bincount(seen, minlength=11) / 5000
    expected = np.isin(np.arange(11), list(levels)) / len(levels)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_flat_images_survive_every_step():
    for value in (0.0, 100.0, 255.0):
        flat = np.full((200, 3, 8, 8), value, dtype=np.float32)
        assert np.isfinite(of_levels(EVERY, flat)).all()
    same = SimpleNamespace(black=np.zeros(3, np.float32), white=np.zeros(3, np.float32))
    augmentation = Augmentation(contrastive_view(True), same, "cpu")
    assert torch.isfinite(augmentation(torch.zeros(4, 3, 8, 8))).all()


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (8, 8)])
def test_crops_have_the_area_and_ratio_of_the_step(shape):
    torch.manual_seed(0)
    canvas = torch.zeros(4000, 1, *shape)
    left, top, wide, high = (each.numpy() for each in _crops(canvas, (0.08, 1.0), (3 / 4, 4 / 3)))
    assert ((left >= 0) & (top >= 0) & (left + wide <= shape[1]) & (top + high <= shape[0])).all()
    assert (wide * high / np.prod(shape)).min() == pytest.approx(0.08, abs=0.05)
    assert ((wide + 0.5) / (high - 0.5) >= 3 / 4).all()  # sides are whole pixels
    assert ((wide - 0.5) / (high + 0.5) <= 4 / 3).all()
    if shape == (8, 8):
        assert set(left[wide == 5]) == {0, 1, 2, 3}


def test_crops_that_never_fit_are_the_largest_in_the_middle():
    left, top, wide, high = (each.numpy() for each in _crops(torch.zeros(50, 1, 10, 40), (0.9, 1.0), (3 / 4, 4 / 3)))
    assert (wide == 13).all()  # round(10 * 4 / 3)
    assert (high == 10).all()
    assert (left == 13).all()
    assert (top == 0).all()

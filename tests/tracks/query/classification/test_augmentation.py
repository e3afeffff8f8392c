"""What augmentation may and may not do to an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.tracks.query.classification import augmentation
from harness.tracks.query.classification.augmentation import Augmentation

LOW, HIGH = -0.4, 2.8


def images(channels=3, side=16, count=64, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(LOW, HIGH, (count, channels, side, side)).astype(np.float32)
    pixels[0, :, 0, 0], pixels[0, :, 0, 1] = LOW, HIGH
    return pixels


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(16, 16), (9, 13)])
@pytest.mark.parametrize("kind", ["none", "basic", "randaugment", "contrastive"])
def test_shape_range_and_source_are_kept(kind, channels, shape):
    pixels = images(channels)[:, :, : shape[0], : shape[1]]
    inputs = torch.from_numpy(pixels.copy())
    torch.manual_seed(0)
    changed = getattr(Augmentation(pixels, True, "cpu"), kind)(inputs)
    assert changed.shape == inputs.shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert changed.min() >= LOW - 1e-4
    assert changed.max() <= HIGH + 1e-4
    assert torch.equal(inputs, torch.from_numpy(pixels))
    assert torch.equal(changed, inputs) == (kind == "none")


def test_basic_shifts_digits_by_two_pixels_and_never_flips():
    canvas = np.zeros((400, 1, 28, 28), dtype=np.float32)
    canvas[:, 0, 13, 10], canvas[:, 0, 13, 11] = 1, 2  # a mirrored one would have 2 before 1
    torch.manual_seed(0)
    changed = Augmentation(canvas, False, "cpu").basic(torch.from_numpy(canvas)).numpy()[:, 0]
    ones, twos = np.argwhere(changed == 1), np.argwhere(changed == 2)
    np.testing.assert_array_equal(ones[:, 0], np.arange(400))
    np.testing.assert_array_equal(twos, ones + np.array([0, 0, 1]))
    assert {tuple(each) for each in ones[:, 1:]} == {(13 + a, 10 + b) for a in range(-2, 3) for b in range(-2, 3)}


def test_basic_shifts_others_by_an_eighth_and_flips_half():
    canvas = np.zeros((2000, 1, 32, 32), dtype=np.float32)
    canvas[:, 0, 16, 10], canvas[:, 0, 16, 11] = 1, 2
    torch.manual_seed(0)
    changed = Augmentation(canvas, True, "cpu").basic(torch.from_numpy(canvas)).numpy()[:, 0]
    ones, twos = np.argwhere(changed == 1), np.argwhere(changed == 2)
    step = twos[:, 2] - ones[:, 2]
    assert set(step) == {-1, 1}
    assert (step < 0).mean() == pytest.approx(0.5, abs=0.05)
    assert set(ones[:, 1]) == set(range(12, 21))


def by_hand(name, image, strength):
    """Operations on one image (h, w), pixel by pixel."""
    grey = image.mean()
    if name == "_brightness":
        return image * (0.05 + 0.9 * strength)
    if name == "_contrast":
        return grey + (0.05 + 0.9 * strength) * (image - grey)
    if name == "_solarize":
        return np.where(image >= 1 - strength, 1 - image, image)
    if name == "_posterize":
        step = 2 ** (8 - (4 + int(strength * 4)))
        return np.rint(image * 255) // step * step / 255
    if name == "_auto_contrast":
        return (image - image.min()) / (image.max() - image.min())
    levels = np.rint(image * 255).astype(int)  # equalize: rank of each level, the lowest 0 and the highest 1
    last = (levels == levels.max()).sum()
    return np.vectorize(lambda level: (levels < level).sum() / (levels.size - last))(levels)


@pytest.mark.parametrize("name", ["_brightness", "_contrast", "_solarize", "_posterize", "_auto_contrast", "_equalize"])
def test_operations_pixel_by_pixel(name):
    pixels = np.random.default_rng(3).integers(20, 200, (5, 1, 6, 7)).astype(np.float32) / 255
    strength = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).view(5, 1, 1, 1)
    changed = getattr(augmentation, name)(torch.from_numpy(pixels), strength).numpy()
    for image, found, each in zip(pixels, changed, (0.1, 0.3, 0.5, 0.7, 0.9), strict=True):
        np.testing.assert_allclose(found[0], by_hand(name, image[0], each), atol=1e-5)


def test_flat_images_survive_every_operation():
    flat = torch.full((3, 3, 8, 8), 0.5)
    for operation in augmentation._OPERATIONS:
        assert torch.isfinite(operation(flat, torch.full((3, 1, 1, 1), 0.9))).all()
    black = np.zeros((4, 3, 8, 8), dtype=np.float32)
    assert torch.isfinite(Augmentation(black, True, "cpu").contrastive(torch.from_numpy(black))).all()


def test_turning_the_hue_by_a_third_swaps_the_colours():
    red = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1)
    turned = augmentation._turned_hue(red, torch.tensor([[2 * torch.pi / 3]])).flatten()
    assert sorted(turned.tolist()) == pytest.approx([0.1, 0.2, 0.9], abs=1e-5)
    assert turned.tolist() != pytest.approx(red.flatten().tolist(), abs=1e-3)


def test_cut_out_is_a_square_of_half_the_side():
    torch.manual_seed(1)
    white = torch.ones(500, 3, 32, 32)
    covered = (augmentation._cut_out(white) == 0.5).sum((2, 3))
    assert covered.max() == 16 * 16
    assert (covered >= 8 * 8).all()
    assert (covered[:, 0] == covered[:, 2]).all()

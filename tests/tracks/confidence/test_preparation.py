"""Images on their way to a network."""

from __future__ import annotations

import numpy as np
import pytest

from harness.spec.errors import UsageError
from harness.spec.released import Preparation
from harness.tracks.confidence.preparation import prepare

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(*shape):
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def test_pixels_are_scaled_then_normalised_by_channel():
    image = noise(5, 7, 3)
    how = Preparation(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    expected = (image.transpose(2, 0, 1) / 255 - np.reshape(how.mean, (3, 1, 1))) / np.reshape(how.std, (3, 1, 1))
    found = prepare([image], how, "here")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "resize", "expected"),
    [
        ((100, 300), 50, (50, 150)),
        ((300, 100), 50, (150, 50)),
        ((100, 151), 50, (50, 75)),  # the fraction of the longer side is cut
        ((20, 30), (8, 9), (8, 9)),
    ],
)
def test_a_number_is_the_shorter_side_and_a_pair_is_height_and_width(shape, resize, expected):
    found = prepare([noise(*shape, 3)], Preparation(resize=resize, **PLAIN), "here")
    assert found.shape[2:] == expected


def test_halving_smooth_images_is_averaging():
    """Bilinear with the support of the scale: on a linear ramp, each pixel is the mean of the two it replaces."""
    ramp = np.tile(np.arange(0, 128, 2, dtype=np.uint8)[:, None, None], (1, 64, 3))
    found = prepare([ramp], Preparation(resize=(32, 32), **PLAIN), "here")[0, 0, 2:-2, 5] * 255
    np.testing.assert_allclose(found, np.arange(1, 129, 4)[2:-2], atol=0.51)


def test_the_centre_is_cropped():
    image = np.zeros((9, 12, 3), np.uint8)
    image[2:7, 4:9] = 255  # rounds half to even: top (9 - 5) / 2 = 2, left round(3.5) = 4
    found = prepare([image], Preparation(crop=5, **PLAIN), "here")
    assert found.shape[2:] == (5, 5)
    assert (found == 1).all()


def test_grey_images_are_repeated_and_transparency_is_left_out():
    grey = noise(4, 4)
    found = prepare([grey], Preparation(**PLAIN), "here")[0]
    assert np.array_equal(found[0], found[2])
    clear = np.concatenate([noise(4, 4, 3), np.zeros((4, 4, 1), np.uint8)], axis=2)
    np.testing.assert_allclose(prepare([clear], Preparation(**PLAIN), "here")[0, 1] * 255, clear[:, :, 1], atol=1e-3)


def test_six_channels_stay_six():
    how = Preparation(mean=(0.0,) * 6, std=(1.0,) * 6, resize=(2, 2))
    assert prepare([noise(4, 4, 6)], how, "here").shape == (1, 6, 2, 2)


def test_images_that_do_not_fit_are_refused_with_the_name_of_their_set():
    how = Preparation(**PLAIN)
    with pytest.raises(UsageError, match="set x: its images differ in size"):
        prepare([noise(4, 4, 3), noise(5, 4, 3)], how, "set x")
    with pytest.raises(UsageError, match="set x: an image has 2 channels where mean and std have 3"):
        prepare([noise(4, 4, 2)], how, "set x")
    with pytest.raises(UsageError, match="set x: a sample is float64"):
        prepare([np.zeros((4, 4, 3))], how, "set x")
    with pytest.raises(UsageError, match="set x: an image of 4 x 4 has no centre of 5 pixels"):
        prepare([noise(4, 4, 3)], Preparation(crop=5, **PLAIN), "set x")


def bilinear(image, height, width):
    """Each pixel from its four neighbours, by hand: centres of pixels are half a pixel from their edges."""
    found = np.zeros((height, width, image.shape[2]))
    for row in range(height):
        for column in range(width):
            y = max((row + 0.5) * image.shape[0] / height - 0.5, 0)
            x = max((column + 0.5) * image.shape[1] / width - 0.5, 0)
            top, left = int(y), int(x)
            below, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[below, left] * (1 - (x - left)) + image[below, right] * (x - left)
            found[row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return found


@pytest.mark.parametrize("resize", [16, 5])
def test_by_four_neighbours_nothing_is_rounded_and_nothing_averaged(resize):
    """As a tensor was resized: larger for vision transformers, and smaller without the support that shrinking needs."""
    image = noise(8, 8, 3)
    how = Preparation(resize=resize, interpolation="four-neighbours", **PLAIN)
    expected = bilinear(image.astype(float), resize, resize).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(prepare([image], how, "here")[0], expected, atol=1e-6)
    bytes_first = prepare([image], Preparation(resize=resize, **PLAIN), "here")[0]
    assert np.abs(bytes_first - expected).max() > 1e-3

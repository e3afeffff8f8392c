"""Operations on levels beside Pillow's on 8-bit images, the published definition of most of them; the others beside
`colorsys`, SciPy, and loops."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from harness.spec.augmentation import Affine, Jitter
from harness.tracks.query.classification import colours, randaugment, warps

LEVELS = range(1, 10)


def photographs(count=6, side=37, seed=0):
    """Noise over slow waves, (n, side, side + 4, 3) uint8: histograms with gaps, and one image of few levels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, : side + 4]
    waves = [np.sin(rows / (3 + k)) + np.cos(columns / (5 + k)) for k in range(3)]
    images = 110 + 35 * np.stack(waves, -1) + rng.normal(0, 12, (count, side, side + 4, 3))
    images[-1] = 90 + 10 * rng.integers(0, 3, (side, side + 4, 3))
    return images.clip(5, 240).astype(np.uint8)


def tensor(photos):
    return torch.from_numpy(photos.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def array(levels):
    found = levels.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found, np.rint(found))
    return found.astype(int)


def strength(value, count=6):
    return torch.full((count, 1, 1, 1), float(value))


def by_pillow(photos, change):
    return np.stack([np.asarray(change(Image.fromarray(each))) for each in photos]).astype(int)


@pytest.mark.parametrize("factor", [0.14, 0.5, 0.86, 1.0, 1.37, 1.8])
@pytest.mark.parametrize(
    ("change", "enhance"),
    [
        (colours.brightness, ImageEnhance.Brightness),
        (colours.contrast, ImageEnhance.Contrast),
        (colours.saturation, ImageEnhance.Color),
        (colours.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_those_of_pillow(change, enhance, factor):
    photos = photographs()
    expected = by_pillow(photos, lambda image: enhance(image).enhance(factor))
    np.testing.assert_array_equal(array(change(tensor(photos), strength(factor))), expected)


def test_grey_is_that_of_pillow():
    photos = photographs()
    np.testing.assert_array_equal(
        array(colours.grey(tensor(photos)))[..., 0], by_pillow(photos, lambda image: image.convert("L"))
    )


@pytest.mark.parametrize(
    ("change", "pillow"), [(colours.auto_contrast, ImageOps.autocontrast), (colours.equalize, ImageOps.equalize)]
)
@pytest.mark.parametrize("side", [37, 12, 5])
def test_operations_without_a_level_are_those_of_pillow(change, pillow, side):
    photos = photographs(side=side)
    np.testing.assert_array_equal(array(change(tensor(photos))), by_pillow(photos, pillow))


@pytest.mark.parametrize("level", LEVELS)
def test_posterize_and_solarize_are_those_of_pillow(level):
    photos = photographs()
    for change, pillow in (
        (randaugment._posterize, lambda image: ImageOps.posterize(image, int(level * 4 / 10) + 4)),
        (randaugment._solarize, lambda image: ImageOps.solarize(image, 256 - int(level * 256 / 10))),
    ):
        found = array(change(tensor(photos), strength(level / 10)))
        np.testing.assert_array_equal(found, by_pillow(photos, pillow))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "x", "y"])
def test_geometry_is_that_of_pillow(name, level):
    photos = photographs(count=40)
    size, sheared = (41, 37), 0.3 * level / 10
    matrices = {
        "shear_x": (1, sheared, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, sheared, 1, 0),
        "x": (1, 0, int(sheared * size[0] + 1e-9), 0, 1, 0),
        "y": (1, 0, 0, 0, 1, int(sheared * size[1] + 1e-9)),
    }
    operations = {
        "rotate": randaugment._rotate,
        "shear_x": randaugment._shear_x,
        "shear_y": randaugment._shear_y,
        "x": randaugment._translated(3, 0.3),
        "y": randaugment._translated(2, 0.3),
    }

    def pillow(sign):
        if name == "rotate":
            return by_pillow(photos, lambda image: image.rotate(sign * int(level * 30 / 10)))
        matrix = matrices[name]
        turned = tuple(sign * each if place in (1, 2, 3, 5) else each for place, each in enumerate(matrix))
        return by_pillow(photos, lambda image: image.transform(size, Image.Transform.AFFINE, turned))

    torch.manual_seed(level)
    found = array(operations[name](tensor(photos), strength(level / 10, 40)))
    differ = np.stack([(found != pillow(sign)).any(-1).mean((1, 2)) for sign in (1, -1)])
    assert differ.min(axis=0).max() == 0
    assert 5 < (differ.argmin(axis=0) == 0).sum() < 35  # both directions


def test_the_operations_of_the_extended_list():
    photos = photographs(count=60)
    inverted = array(randaugment._invert(tensor(photos), strength(0.2, 60)))
    np.testing.assert_array_equal(inverted, by_pillow(photos, ImageOps.invert))
    torch.manual_seed(0)
    found = array(randaugment._solarize_added(tensor(photos), strength(0.2, 60)))
    both = [
        by_pillow((photos.astype(int) + sign * 22).clip(0, 255).astype(np.uint8), lambda image: ImageOps.solarize(image, 128))
        for sign in (1, -1)
    ]  # fmt: skip
    which = [(found == each).all((1, 2, 3)) for each in both]
    assert (which[0] | which[1]).all()
    assert 15 < which[0].sum() < 45
    assert {name: len(each) for name, each in randaugment.OPERATIONS.items()} == {"fixmatch": 14, "extended": 16}


@pytest.mark.parametrize("side", [0, 1, 16])
def test_cut_out_squares_are_rectangles_of_pillow(side):
    torch.manual_seed(1)
    found = array(colours.cut_out(torch.full((800, 3, 32, 32), 200.0), side))
    corners = set()
    for image in found:
        covered = np.argwhere((image == 127).all(-1))
        (top, left), bottom = covered.min(axis=0), covered.max(axis=0)
        corners.add((top, left))
        canvas = Image.new("RGB", (32, 32), (200, 200, 200))
        corner = (int(left), int(top), min(32, int(left) + side), min(32, int(top) + side))
        ImageDraw.Draw(canvas).rectangle(corner, (127, 127, 127))
        np.testing.assert_array_equal(image, np.asarray(canvas))
        assert (bottom < 32).all()
    first = {int(max(0, place - side / 2)) for place in np.arange(0, 32, 0.01)}
    assert {row for row, _ in corners} == first
    assert {column for _, column in corners} == first


@pytest.mark.parametrize("turns", [-0.5, -0.2, -0.01, 0.0, 0.1, 1 / 3])
def test_hues_are_turned_as_by_colorsys(turns):
    photos = photographs(count=2, side=9)
    photos[0, 0] = [[120, 120, 120]] * 13  # without a hue
    found = array(colours.turned_hue(tensor(photos), strength(turns, 2)))
    for place in np.ndindex(photos.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(photos[place] / 255))
        expected = 255 * np.array(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value))
        np.testing.assert_allclose(found[place], expected, atol=0.5 + 1e-3)


@pytest.mark.parametrize(("width", "half"), [(0.1, 1), (0.3, 5), (3 / 37, 1), (0.02, 0)])
def test_blur_is_a_gaussian_filter(width, half):
    photos = photographs()
    sigma = torch.tensor([0.1, 0.4, 0.8, 1.2, 1.6, 2.0])
    found = array(colours.blurred(tensor(photos), sigma.view(-1, 1, 1, 1), width))
    for image, photo, each in zip(found, photos.astype(float), sigma.tolist(), strict=True):
        expected = photo
        for axis in (0, 1):
            expected = scipy.ndimage.gaussian_filter1d(expected, each, axis, mode="mirror", radius=half)
        np.testing.assert_allclose(image, expected, atol=0.51)


def test_rotations_and_affine_maps_are_those_of_pillow():
    photos = photographs(count=50)
    degrees = torch.linspace(-179, 179, 50).view(-1, 1, 1, 1)
    found = array(warps.rotated(tensor(photos), degrees))
    for image, photo, angle in zip(found, photos, degrees.flatten().tolist(), strict=True):
        expected = np.asarray(Image.fromarray(photo).rotate(angle))
        assert (image != expected).any(-1).mean() < 0.002
    scale, right, down = (torch.linspace(*ends, 50).view(-1, 1, 1, 1) for ends in ((0.7, 1.3), (-4, 4), (3, -3)))
    right, down = right.round(), down.round()
    moved = array(warps._moved(tensor(photos), degrees, scale, right, down))
    rows = zip(moved, photos, *(each.flatten().tolist() for each in (degrees, scale, right, down)), strict=True)
    for image, photo, angle, size, x, y in rows:
        forward = np.eye(3)
        for each in (
            [[1, 0, -20.5], [0, 1, -18.5]],
            [[size * math.cos(math.radians(angle)), size * math.sin(math.radians(angle)), 0],
             [-size * math.sin(math.radians(angle)), size * math.cos(math.radians(angle)), 0]],
            [[1, 0, 20.5 + x], [0, 1, 18.5 + y]],
        ):  # fmt: skip
            forward = np.vstack([each, [0, 0, 1]]) @ forward
        matrix = np.linalg.inv(forward)[:2].flatten().tolist()
        expected = np.asarray(Image.fromarray(photo).transform((41, 37), Image.Transform.AFFINE, matrix))
        assert (image != expected).any(-1).mean() < 0.002


def test_affine_steps_draw_from_their_ranges():
    """A white pixel in the middle of black ones is moved by whole pixels, up to a tenth of each side."""
    canvas = torch.zeros(3000, 1, 41, 61)
    canvas[:, :, 20, 30] = 255
    torch.manual_seed(0)
    moved = warps.randomly_moved(canvas, Affine(kind="affine", translate=0.1, degrees=180))
    places = np.argwhere(moved.numpy()[:, 0] == 255)
    assert len(places) == 3000
    assert set(places[:, 1] - 20) == set(range(-4, 5))
    assert set(places[:, 2] - 30) == set(range(-6, 7))
    scaled = warps.randomly_moved(torch.full((500, 1, 40, 40), 255.0), Affine(kind="affine", scale=(0.5, 0.8)))
    sides = np.sqrt((scaled == 255).sum((1, 2, 3)).numpy()) / 40
    assert 0.48 < sides.min() < 0.53
    assert 0.77 < sides.max() < 0.82


def test_resized_crops_are_those_of_pillow_up_to_a_level():
    photos = photographs(count=40)
    torch.manual_seed(3)
    left, top, wide, high = (
        each.numpy().astype(int) for each in warps._crops(tensor(photos), (0.08, 1.0), (0.75, 4 / 3))
    )
    torch.manual_seed(3)
    found = array(warps.resized_crops(tensor(photos), (0.08, 1.0), (0.75, 4 / 3)))
    assert len(set(wide)) > 10
    for number, photo in enumerate(photos):
        part = photo[top[number] : top[number] + high[number], left[number] : left[number] + wide[number]]
        expected = np.asarray(Image.fromarray(part).resize((41, 37), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(found[number] - expected).max() <= 1


def test_jitter_draws_factors_and_orders():
    """Brightness and contrast do not commute: of one image with both, either order is seen."""
    photo = tensor(photographs(count=1))
    step = Jitter(kind="jitter", brightness=0.5)
    torch.manual_seed(0)
    means = colours.jittered(photo.expand(2000, -1, -1, -1), step).mean((1, 2, 3)) / photo.mean()
    assert means.min() == pytest.approx(0.5, abs=0.02)
    assert means.max() == pytest.approx(1.5, abs=0.03)
    assert means.mean() == pytest.approx(1.0, abs=0.03)
    black_and_white = torch.tensor([0.0, 255.0]).view(1, 1, 1, 2).expand(4000, 1, 1, 2)
    torch.manual_seed(0)
    changed = colours.jittered(black_and_white, Jitter(kind="jitter", brightness=0.9, contrast=0.9))
    darkest = changed[..., 0].flatten()
    # 0 stays 0 in the first; contrast below 1 lifts it to grey * (1 - c), which is brightened where that comes second
    assert (darkest > 128).any()  # grey of at most 128, then brightened
    assert ((darkest > 0) & (darkest < 128)).any()

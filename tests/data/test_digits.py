import hashlib
import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from harness.data import digits as module
from harness.data.digits import DIGIT_POINTS, POINTS, digits
from harness.data.embedded import mnist_5k

SHAPES = {"image": (1, 28, 28), "volume": (1, 16, 16, 16), "point-cloud": (3, 256)}
VARIANTS = ("plain", "distractor")
EACH = [(modality, variant) for modality in SHAPES for variant in VARIANTS]
SOME = np.arange(0, 5000, 50)  # 10 of each class


@pytest.mark.parametrize(("modality", "variant"), EACH)
def test_shapes_types_and_targets(modality, variant):
    samples = digits(modality, variant, SOME)
    assert samples.inputs.shape == (100, *SHAPES[modality])
    assert samples.inputs.dtype == np.float32
    assert samples.targets.dtype == np.int64
    assert samples.targets.tolist() == np.repeat(np.arange(10), 10).tolist()
    if variant == "plain":
        assert samples.masks is None
    else:
        assert samples.masks is not None
        assert samples.masks.dtype == np.bool_
        assert samples.masks.shape == (100, 1, *SHAPES[modality][1:])
        assert samples.masks.any(axis=tuple(range(1, samples.masks.ndim))).all()


@pytest.mark.parametrize(("modality", "variant"), EACH)
def test_a_sample_depends_on_its_own_index_and_the_seed_only(modality, variant):
    indices = np.array([4999, 7, 1234, 7])
    together = digits(modality, variant, indices, seed=3)
    for position, index in enumerate(indices):
        alone = digits(modality, variant, np.array([index]), seed=3)
        assert np.array_equal(alone.inputs[0], together.inputs[position])
        if together.masks is not None:
            assert np.array_equal(alone.masks[0], together.masks[position])
    other = digits(modality, variant, indices, seed=4)
    changed = (other.inputs != together.inputs).reshape(4, -1).any(axis=1)
    assert changed.all() == ((modality, variant) != ("image", "plain"))


def test_another_process_makes_the_same_bytes():
    code = (
        "import hashlib, numpy as np; from harness.data.digits import digits\n"
        "for m in ('image', 'volume', 'point-cloud'):\n"
        "    s = digits(m, 'distractor', np.arange(0, 5000, 50))\n"
        "    print(hashlib.sha256(s.inputs.tobytes() + s.masks.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    here = [digits(modality, "distractor", SOME) for modality in SHAPES]
    assert printed.split() == [hashlib.sha256(s.inputs.tobytes() + s.masks.tobytes()).hexdigest() for s in here]


def test_a_plain_image_is_the_mnist_digit():
    images, _ = mnist_5k()
    assert np.array_equal(digits("image", "plain", SOME).inputs[:, 0], (images[SOME] / 255).astype(np.float32))


@pytest.mark.parametrize(("modality", "gap"), [("image", 2), ("volume", 1)])
def test_digit_and_distractor_lie_apart_on_the_canvas(modality, gap):
    """On the flat layers, from which images are summed and volumes extruded."""
    images, _ = mnist_5k()
    layout = module._LAYOUTS[modality]
    for index in range(0, 5000, 5):
        digit, distractor = module._scene(images[index], layout, np.random.default_rng(index))
        assert digit.shape == distractor.shape == (layout.side, layout.side)
        steps = distance_transform_cdt(digit == 0, metric="chessboard")  # to the nearest ink of the digit
        assert steps[distractor > 0].min() > gap
        assert (distractor > 0).sum() >= layout.distractor[0]


def test_an_image_holds_the_digit_in_its_mask_and_one_distractor_elsewhere():
    samples = digits("image", "distractor", SOME)
    assert samples.masks is not None
    for image, mask in zip(samples.inputs[:, 0], samples.masks[:, 0], strict=True):
        assert (image[mask] >= 0.1).all()
        far = distance_transform_cdt(~mask, metric="chessboard") > 2  # beyond the soft edges
        assert set(np.unique(image[far])) == {0.0, 1.0}  # a shape has no soft edges
        assert 6 <= image[far].sum() <= 64
        assert all(13 <= np.ptp(place) + 1 <= 18 for place in [max(np.nonzero(mask), key=np.ptp)])


def pooled(image, box, width, height):
    """Brute force: each pixel goes whole to the larger pixel that holds its centre, on a border to the former."""
    left, top, right, bottom = box
    groups = {}
    for row in range(top, bottom):
        for column in range(left, right):
            i = math.ceil(Fraction((2 * (row - top) + 1) * height, 2 * (bottom - top))) - 1
            j = math.ceil(Fraction((2 * (column - left) + 1) * width, 2 * (right - left))) - 1
            groups.setdefault((i, j), []).append(int(image[row, column]))
    return np.array([[np.mean(groups[i, j]) for j in range(width)] for i in range(height)])


def test_a_smaller_digit_keeps_its_form_and_its_darkness():
    images, _ = mnist_5k()
    darkness = []
    for image in images[SOME]:
        rows, columns = np.nonzero(image)
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        small = module._cropped(image, 10)
        assert max(small.shape) == 10
        assert min(small.shape) == pytest.approx(10 * min(box.shape) / max(box.shape), abs=0.5)  # rounded
        assert small.shape.index(10) == np.argmax(box.shape) or small.shape == (10, 10)
        darkness.append(small.mean() / box.mean())
    assert np.mean(darkness) == pytest.approx(1, abs=0.03)


def test_a_volume_holds_the_ink_of_its_picture_four_times():
    images, _ = mnist_5k()
    flat = np.array([pooled(image, (0, 0, 28, 28), 16, 16).sum() for image in images[SOME[::5]]]) / 255
    volumes = digits("volume", "plain", SOME[::5]).inputs
    ratio = volumes.sum(axis=(1, 2, 3, 4)) / (4 * flat)
    assert ratio == pytest.approx(np.ones(20), abs=0.05)  # a turned slab is sampled, so nearly
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert volumes.min() == 0
    assert volumes.max() <= 1


def test_a_volume_not_turned_is_the_picture_in_four_slices(monkeypatch):
    monkeypatch.setattr(module, "_SLAB_TURN", 0.0)
    images, _ = mnist_5k()
    volume = digits("volume", "plain", SOME[::5]).inputs[:, 0]
    assert (volume[:, 6:10] == volume[:, 6:7]).all()
    assert not volume[:, :6].any()
    assert not volume[:, 10:].any()
    expected = np.stack([pooled(image, (0, 0, 28, 28), 16, 16) for image in images[SOME[::5]]]) / 255
    assert np.abs(volume[:, 7] - expected).max() <= 1.01 / 255


def test_the_mask_of_a_volume_is_the_ink_of_the_digit():
    samples = digits("volume", "distractor", SOME)
    assert samples.masks is not None
    inside, outside = samples.inputs[samples.masks], samples.inputs[~samples.masks]
    assert inside.min() >= 0.1
    share = np.array([v[m].sum() / v.sum() for v, m in zip(samples.inputs, samples.masks, strict=True)])
    assert share.min() > 0.2
    assert share.max() < 0.95  # the distractor has the rest
    assert outside.max() == 1


def test_the_points_of_a_cloud_lie_in_a_thin_sheet_within_the_unit_ball():
    for variant in VARIANTS:
        points = digits("point-cloud", variant, np.arange(0, 5000, 7)).inputs
        assert np.linalg.norm(points, axis=1).max() < 1
        assert np.abs(points.mean(axis=2)).max() < 1e-4
        assert len(np.unique(points[0], axis=1).T) > POINTS - 3  # hardly any twice
    plain = digits("point-cloud", "plain", SOME).inputs
    thickness = np.linalg.svd(plain, compute_uv=False)[:, 2] / np.sqrt(POINTS)
    assert thickness == pytest.approx(np.full(100, 2 / 28 / np.sqrt(12)), rel=0.2)  # uniform over two of 28 pixels


def test_points_of_the_digit_and_of_the_distractor_are_apart():
    samples = digits("point-cloud", "distractor", SOME)
    assert samples.masks is not None
    assert (samples.masks.sum(axis=(1, 2)) == DIGIT_POINTS).all()
    assert samples.masks[:, 0, :DIGIT_POINTS].mean() == pytest.approx(DIGIT_POINTS / POINTS, abs=0.02)  # shuffled
    for cloud, mask in zip(samples.inputs, samples.masks[:, 0], strict=True):
        between = np.linalg.norm(cloud[:, mask, None] - cloud[:, None, ~mask], axis=0)
        assert between.min() > 6 / 28  # 8 pixels in depth less the thickness, and 2 pixels in the plane


def test_points_are_drawn_from_the_ink():
    layer = np.zeros((28, 28), dtype=np.uint8)
    layer[3, 5], layer[20, 9] = 50, 150
    points = module._drawn(layer, 10_000, np.random.default_rng(0))
    dark = points[:, 0] > 8
    assert dark.mean() == pytest.approx(0.75, abs=0.02)  # standard error 0.004
    for chosen, column, row in ((~dark, 5, 3), (dark, 9, 20)):
        x, y = points[chosen, 0] - column, -points[chosen, 1] - row
        assert 0 <= min(x.min(), y.min()) < 0.01
        assert 0.99 < max(x.max(), y.max()) <= 1
        assert x.mean() == pytest.approx(0.5, abs=0.03)
        assert y.mean() == pytest.approx(0.5, abs=0.03)


def test_the_distractor_says_nothing_about_the_digit():
    """Its place depends a little on how wide a digit is (a 1 leaves more room), its shape not at all."""
    from sklearn.neighbors import KNeighborsClassifier

    samples = digits("image", "distractor", np.arange(5000))
    assert samples.masks is not None
    shapes = ((samples.inputs == 1) & ~samples.masks).reshape(5000, -1)  # no soft edges of the digit either
    sizes = shapes.sum(axis=1)
    means = np.array([sizes[samples.targets == digit].mean() for digit in range(10)])
    assert np.abs(means - sizes.mean()).max() < 4 * sizes.std() / np.sqrt(500)
    train, test = np.arange(5000) % 2 == 0, np.arange(5000) % 2 == 1
    guess = KNeighborsClassifier(15).fit(shapes[train], samples.targets[train])
    assert guess.score(shapes[test], samples.targets[test]) < 0.17


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="video"):
        digits("video", "plain", SOME)
    with pytest.raises(ValueError, match="noisy"):
        digits("image", "noisy", SOME)
    with pytest.raises(ValueError, match="empty"):
        digits("image", "plain", SOME[:0])


def test_importing_loads_nothing_heavy():
    code = "import sys, harness.data.digits; print([m for m in ('torch', 'scipy', 'PIL') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"

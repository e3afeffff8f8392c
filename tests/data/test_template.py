import gzip
import subprocess
import sys

import numpy as np
import pytest

from harness.data import packages, template
from harness.spec.errors import UsageError
from harness.storage import IntegrityError

if not template.folders():
    pytest.skip(
        "nilearn, which ships the template, is not installed; `make query` installs it", allow_module_level=True
    )


def test_the_template_is_what_a_reader_of_the_format_reads():
    nibabel = pytest.importorskip("nibabel")
    full = [
        np.asarray(nibabel.load(template.folders()[0] / name).dataobj).transpose(2, 1, 0).astype(float)
        for name in template._SHA256
    ]
    t1, labels = template.mni152()
    assert t1.shape == labels.shape == template.SHAPE
    for place in np.random.default_rng(0).integers(0, template.SHAPE, size=(200, 3)):
        block = tuple(slice(2 * at, 2 * at + 2) for at in place)
        image, grey, white = (each[block].mean() for each in full)
        assert t1[tuple(place)] == image
        assert labels[tuple(place)] == np.argmax([255 - grey - white, grey, white])


def test_white_matter_is_brighter_than_grey_matter_than_the_rest():
    t1, labels = template.mni152()
    means = [t1[labels == label].mean() for label in range(len(template.CLASSES))]
    assert means == sorted(means)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_the_two_halves_show_the_same():
    _, labels = template.mni152()
    left = np.bincount(labels[:, :, :49].ravel())
    right = np.bincount(labels[:, :, 49:].ravel())
    assert np.all(np.abs(left - right) < 0.02 * left)  # the middle of the brain lies in one column of the right half


def test_a_volume_is_the_template_with_a_field_and_noise_of_the_asked_strength():
    t1, labels = template.mni152()
    shape, corner = (80, 20, 40), (0, 40, 9)
    box = tuple(slice(low, low + extent) for low, extent in zip(corner, shape, strict=True))
    plain, truth = template.template_volume(corner, shape, 3, bias=0.0, noise=0.0)
    assert np.allclose(plain, t1[box] / 255, atol=1e-6)
    assert np.array_equal(truth, labels[box])
    noisy, _ = template.template_volume(corner, shape, 3, bias=0.0, noise=0.05)
    assert (noisy - plain).std() == pytest.approx(0.05, rel=0.02)
    assert (noisy - plain).mean() == pytest.approx(0, abs=0.001)
    biased, _ = template.template_volume(corner, shape, 3, bias=0.1, noise=0.0)
    field = np.log(biased[plain > 0] / plain[plain > 0])
    assert 0.05 < field.std() < 0.15
    whole = template._smooth((12, 4, 8), np.random.default_rng(0))
    assert whole.mean() == pytest.approx(0, abs=1e-9)
    assert whole.std() == pytest.approx(1)


def test_a_volume_depends_on_its_seed_alone():
    one = template.template_volume((0, 40, 9), (8, 8, 8), 3, 0.1, 0.1)[0]
    assert np.array_equal(one, template.template_volume((0, 40, 9), (8, 8, 8), 3, 0.1, 0.1)[0])
    assert not np.array_equal(one, template.template_volume((0, 40, 9), (8, 8, 8), 4, 0.1, 0.1)[0])


def test_callers_cannot_change_each_others_template():
    t1, labels = template.mni152()
    for array in (t1, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("corner", "shape"), [((-1, 0, 0), (4, 4, 4)), ((0, 0, 95), (4, 4, 4)), ((0, 0, 0), (4, 0, 4))]
)
def test_a_box_outside_of_the_template_is_refused(corner, shape):
    with pytest.raises(UsageError, match="leaves the template"):
        template.template_volume(corner, shape, 0, 0, 0)


def test_reading_does_not_import_the_package():
    code = "import sys; from harness.data.template import mni152; mni152(); sys.exit('nilearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package folder of ours, read anew."""
    monkeypatch.setattr(packages, "package_folder", lambda name: tmp_path)
    monkeypatch.setattr(template, "_FOLDER", ".")
    template._volume.cache_clear()
    yield tmp_path
    template._volume.cache_clear()


def test_an_old_package_and_a_changed_file_are_refused(package):
    name = next(iter(template._SHA256))
    with pytest.raises(UsageError, match=r"has no \./mni_icbm152"):
        template._volume(name)
    (package / name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(IntegrityError, match="is not the file"):
        template._volume(name)


def test_without_the_package_there_is_a_way_out(monkeypatch):
    monkeypatch.setattr(template, "PACKAGE", "no_such_package")
    template._volume.cache_clear()
    try:
        with pytest.raises(UsageError, match="pip install no_such_package"):
            template._volume(next(iter(template._SHA256)))
    finally:
        template._volume.cache_clear()

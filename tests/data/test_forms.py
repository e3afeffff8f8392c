"""The arrays that protocols read, against torch's and Pillow's own arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data import forms
from harness.data.forms import shaped, write_arrays_of
from harness.data.readers.base import Listing, Selection
from harness.spec.errors import UsageError
from harness.spec.products import CloudsForm, ImagesForm, VolumesForm
from harness.storage import IntegrityError, read_arrays

RNG = np.random.default_rng(0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def image(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def images(**fields: Any) -> ImagesForm:
    return ImagesForm(kind="images", **fields)


def samples(arrays: list[np.ndarray], labels: list[int] | None = None) -> Selection:
    labels = labels if labels is not None else [n % 3 for n in range(len(arrays))]
    listing = Listing(
        [f"s{n}" for n in range(len(arrays))], np.array(labels), {}, lambda rows: [arrays[row] for row in rows]
    )
    return Selection(listing, np.arange(len(arrays)), np.array(labels))


@pytest.mark.parametrize(
    ("shape", "size"), [((300, 451), (256, 384)), ((451, 300), (384, 256)), ((256, 256), (256, 256))]
)
def test_the_shorter_side_and_the_middle(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """torchvision's Resize(256) and CenterCrop(224): 451 * 256 / 300 = 384.85 is rounded down."""
    original = image(*shape, 3)
    resized = np.asarray(Image.fromarray(original).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    expected = resized[top : top + 224, left : left + 224]
    np.testing.assert_array_equal(shaped(original, images(shorter_side=256, crop=224)), expected)


def test_a_size_without_regard_to_shape() -> None:
    assert shaped(image(30, 50, 3), images(size=(8, 12))).shape == (8, 12, 3)


def test_normalised_images_are_those_of_torch_to_the_last_bit() -> None:
    import torch

    original = image(40, 40, 3)
    tensor = torch.from_numpy(original).permute(2, 0, 1).to(torch.float32).div(255)
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (MEAN, STD))
    expected = tensor.sub(mean).div(std).numpy()
    found = shaped(original, images(scale=255.0, mean=MEAN, std=STD, channels="first"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_grey_images_are_repeated() -> None:
    grey = image(30, 30)
    found = shaped(grey, images(scale=255.0, channels="first"))
    assert found.shape == (3, 30, 30)
    np.testing.assert_array_equal(found, np.stack([grey.astype(np.float32) / np.float32(255)] * 3))


def test_pixels_stay_bytes_without_a_scale() -> None:
    original = image(32, 32, 3)
    found = shaped(original, images())
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, original)


def test_volumes_are_scaled() -> None:
    """LATEC: divided by 255, times 0.5."""
    volume = image(4, 5, 6)
    found = shaped(volume, VolumesForm(kind="volumes", scale=510.0))
    assert found.shape == (1, 4, 5, 6)
    np.testing.assert_array_equal(found[0], volume.astype(np.float32) / np.float32(255) * np.float32(0.5))


def test_clouds_have_coordinates_first() -> None:
    cloud = RNG.normal(size=(7, 3)).astype(np.float32)
    np.testing.assert_array_equal(shaped(cloud, CloudsForm(kind="clouds")), cloud.T)


def test_files_hold_all_parts_and_a_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "BATCH", 4)
    originals = [image(8, 8, 3) for _ in range(11)]
    parts = [samples(originals[:6], [0, 1, 2, 3, 4, 5]), samples(originals[6:], [9, 8, 7, 6, 5])]
    told: list[int] = []
    write_arrays_of(parts, images(background=7), tmp_path / "a.npz", told.append)
    arrays = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(arrays["inputs"], np.stack(originals))
    assert arrays["labels"].tolist() == [0, 1, 2, 3, 4, 5, 9, 8, 7, 6, 5]
    np.testing.assert_array_equal(arrays["background"], np.stack(originals[:7]))
    assert told == [4, 6, 10, 11]


def test_images_of_several_sizes_need_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"s1 comes out as \(8, 9, 3\), others as \(8, 8, 3\); give `size`"):
        write_arrays_of([samples([image(8, 8, 3), image(8, 9, 3)])], images(), tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_a_background_larger_than_the_part(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs 3 samples as background, but its parts have 2"):
        write_arrays_of([samples([image(8, 8)] * 2)], images(background=3), tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("sample", "form", "sentence"),
    [
        (image(4, 4, 6), images(), "8-bit images, grey or RGB"),
        (RNG.normal(size=(4, 4, 3)), images(), "8-bit images, grey or RGB"),
        (image(4, 4), VolumesForm(kind="volumes", scale=1.0), r"a volume \(z, y, x\) is needed"),
        (image(4, 4), CloudsForm(kind="clouds"), r"a cloud \(points, 3\) is needed"),
    ],
)
def test_samples_of_another_kind(sample: np.ndarray, form: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        shaped(sample, form)


def test_images_too_small_to_crop() -> None:
    with pytest.raises(IntegrityError, match=r"10 x 20 is too small for a crop of 16"):
        shaped(image(10, 20, 3), images(crop=16))


@pytest.mark.parametrize(
    "fields",
    [
        {"size": (2, 2), "shorter_side": 2},
        {"mean": MEAN, "scale": 255.0},
        {"mean": MEAN, "std": STD},
        {"scale": 0.0},
        {"crop": 100_000},
    ],
)
def test_forms_that_make_no_sense(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validation error"):
        images(**fields)

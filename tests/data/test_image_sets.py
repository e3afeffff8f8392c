"""Grey images by name: of packages, and of a part of any data set of the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.embedded import mnist_5k
from harness.data.image_sets import embedded_images, is_fetched, part_images
from harness.data.manifests import load_manifest
from harness.data.store import set_folder
from harness.spec.errors import UsageError
from tests.data.sources import fetch_medmnist, write_medmnist


def test_images_labels_and_names_are_those_of_the_part(tmp_path: Path, cache: Path) -> None:
    arrays = write_medmnist(tmp_path, {"train": 5, "val": 4, "test": 3})
    found = part_images(fetch_medmnist(tmp_path), "val")
    np.testing.assert_array_equal(found.images, arrays["val_images"])
    np.testing.assert_array_equal(found.labels, arrays["val_labels"][:, 0])
    assert found.ids == ("val/0", "val/1", "val/2", "val/3")
    assert found.labels.dtype == np.int64


def test_images_of_packages_are_named_by_their_positions() -> None:
    found = embedded_images("mnist-5k")
    np.testing.assert_array_equal(found.images, mnist_5k()[0])
    assert found.ids[:2] == ("0", "1")


@pytest.mark.parametrize("shape", [(28, 28, 3), (32, 32)])
def test_images_in_colour_or_of_another_size_are_refused(tmp_path: Path, cache: Path, shape: tuple[int, ...]) -> None:
    write_medmnist(tmp_path, {"train": 2, "val": 2, "test": 2}, shape=shape)
    with pytest.raises(UsageError, match=r"the image test/0 of scans has the shape .*grey images of 28x28 pixels"):
        part_images(fetch_medmnist(tmp_path), "test")


def test_data_that_are_not_here_are_named_with_the_command_that_fetches_them(tmp_path: Path, cache: Path) -> None:
    write_medmnist(tmp_path, {"train": 2, "val": 2, "test": 2})
    manifest = load_manifest(tmp_path / "source.toml")
    assert not is_fetched(manifest)
    with pytest.raises(UsageError, match=r"scans is not here yet .*run: harness data fetch .*source\.toml"):
        part_images(manifest, "val")


def test_an_unknown_part_is_refused_before_anything_is_read(tmp_path: Path, cache: Path) -> None:
    write_medmnist(tmp_path, {"train": 2, "val": 2, "test": 2})
    with pytest.raises(UsageError, match="no part of scans is called 'vals'; did you mean val"):
        part_images(load_manifest(tmp_path / "source.toml"), "vals")


def test_the_id_of_a_part_is_known_before_it_is_fetched_and_follows_the_bytes(tmp_path: Path, cache: Path) -> None:
    write_medmnist(tmp_path, {"train": 2, "val": 2, "test": 2})
    before = load_manifest(tmp_path / "source.toml").identity("val")
    manifest = fetch_medmnist(tmp_path)
    assert set_folder(manifest).is_dir()
    assert manifest.identity("val") == before != manifest.identity("test")
    write_medmnist(tmp_path, {"train": 2, "val": 3, "test": 2})
    assert load_manifest(tmp_path / "source.toml").identity("val") != before

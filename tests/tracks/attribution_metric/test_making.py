"""The script behind meta-mnist's files: right methods, right seeds, and reference scores of these very maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import bundled_folder
from harness.storage import read_arrays
from harness.tracks.attribution_metric import making
from harness.tracks.attribution_metric.maps import read_maps

SCORES = bundled_folder("submissions") / "attribution-mnist@1"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "METHODS", ("saliency", "grad-cam", "raw-attention"))


def test_a_file_holds_what_applies_and_is_made_alike_again(quick: None, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        making.make(tmp_path / folder, SCORES, ["pointnet"])
    files = [(tmp_path / folder / "maps" / "pointnet.npz").read_bytes() for folder in ("one", "two")]
    assert files[0] == files[1]
    file = read_maps(tmp_path / "one" / "maps" / "pointnet.npz")
    assert list(file.maps) == ["saliency", "random-map", "constant-map"]  # no class activation maps, no attention
    assert list(file.randomised) == ["saliency"]
    stored = read_arrays(SCORES / "saliency" / "outputs.npz")
    np.testing.assert_allclose(
        file.reference["deletion"][0], stored["pointnet--point-cloud--score.deletion"], rtol=1e-6
    )
    place = "pointnet--point-cloud-distractor--score.relevance_mass"
    np.testing.assert_allclose(file.reference["relevance_mass"][0], stored[place], rtol=1e-6)


def test_made_again_they_are_the_bundled_ones(quick: None, tmp_path: Path) -> None:
    """Up to half precision and the order of sums of another processor."""
    making.make(tmp_path, SCORES, ["cnn3d"])
    bundled = read_maps(bundled_folder("datasets") / "meta-mnist" / "maps" / "cnn3d.npz")
    made = read_maps(tmp_path / "maps" / "cnn3d.npz")
    for name in ("saliency", "grad-cam", "random-map"):
        assert made.maps[name].shape == (16, 1, 16, 16, 16)
        np.testing.assert_allclose(made.maps[name], bundled.maps[name], rtol=0, atol=1e-2 * bundled.maps[name].max())

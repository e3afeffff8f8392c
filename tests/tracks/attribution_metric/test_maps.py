"""Files of maps: what goes in comes out, and nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest

from harness.storage import IntegrityError, write_arrays
from harness.tracks.attribution_metric.maps import packed, read_maps

RNG = np.random.default_rng(0)
MAPS = {name: scale * RNG.normal(size=(4, 3, 5, 5)) for name, scale in (("a", 1e-7), ("b", 1.0), ("c", 1e9))}
REFERENCE = {"deletion": RNG.normal(size=(3, 4)), "irof": np.full((3, 4), np.nan)}


def test_round_trip_in_half_precision_of_each_maps_own_scale(tmp_path):
    write_arrays(tmp_path / "maps.npz", packed(MAPS, {"b": MAPS["c"]}, REFERENCE))
    file = read_maps(tmp_path / "maps.npz")
    assert list(file.maps) == ["a", "b", "c"]
    assert list(file.randomised) == ["b"]
    for name, maps in MAPS.items():
        mean = maps.mean(axis=1, keepdims=True)
        largest = np.abs(mean).reshape(4, -1).max(axis=1).reshape(4, 1, 1, 1)
        assert file.maps[name].dtype == np.float32
        assert (np.abs(file.maps[name] - mean) <= largest * 2**-11).all()
    np.testing.assert_allclose(file.reference["deletion"], REFERENCE["deletion"], rtol=1e-6)
    assert np.isnan(file.reference["irof"]).all()


def test_a_map_of_zeros_stays_one(tmp_path):
    write_arrays(tmp_path / "maps.npz", packed({"zero": np.zeros((2, 1, 3, 3))}, {}, {}))
    file = read_maps(tmp_path / "maps.npz")
    assert not file.maps["zero"].any()
    assert file.randomised == {}
    assert file.reference == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": None}, "lacks the array 'maps'"),
        ({"labels": np.zeros(4)}, "holds the array 'labels'"),
        ({"scale": np.ones((3, 5), np.float32)}, "must be"),
        ({"scale": np.full((3, 4), np.nan, np.float32)}, "NaN or infinite"),
        ({"methods": np.array(["a", "a", "c"])}, "must be"),
        ({"methods": np.array(["a", "b"])}, "must be"),
        ({"maps": np.zeros((3, 4, 1, 5, 5), np.int64)}, "must be"),
        ({"randomised_methods": np.array(["d"])}, "do not belong"),
        ({"randomised_scale": None}, "lacks the array 'randomised_scale'"),
        ({"reference": np.zeros((2, 3, 5), np.float32)}, "must hold scores"),
        ({"reference": np.full((2, 3, 4), np.inf, np.float32)}, "must hold scores"),
        ({"reference_metrics": None}, "must hold scores"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    arrays = {**packed(MAPS, {"b": MAPS["c"]}, REFERENCE), **change}
    write_arrays(tmp_path / "maps.npz", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(IntegrityError, match=message):
        read_maps(tmp_path / "maps.npz")

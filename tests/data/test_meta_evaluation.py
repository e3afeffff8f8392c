"""Maps in half precision with a power of two beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.data.meta_evaluation import decode_map, encode_map


def there_and_back(map: np.ndarray) -> np.ndarray:
    stored = encode_map(map)
    assert stored is not None
    back = decode_map({"map": stored.values, "scale": stored.scale, "shape": list(map.shape)})
    assert back is not None
    return back


@given(arrays.arrays(np.float32, (1, 3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_values_lose_no_more_than_is_said(map: np.ndarray) -> None:
    back = there_and_back(map).astype(np.float64)
    exact, largest = map.astype(np.float64), float(np.abs(map.astype(np.float64)).max())
    tiny = float(np.finfo(np.float32).smallest_subnormal)  # what float32 itself cannot tell apart
    assert (np.abs(back - exact) <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-39 * largest) + tiny).all()


@pytest.mark.parametrize("factor", [1e-38, 1e-12, 1.0, 7e4, 3e38])
def test_the_size_of_a_map_does_not_matter(factor: float) -> None:
    map = (np.array([[[1.0, -0.5, 0.25, 0.0]]]) * factor).astype(np.float32)
    np.testing.assert_allclose(there_and_back(map), map, rtol=2**-11)


def test_powers_of_two_are_exact() -> None:
    map = np.ldexp(np.ones((1, 2, 5), dtype=np.float32), -np.arange(10).reshape(1, 2, 5))
    assert (there_and_back(map) == map).all()


def test_a_map_of_zeros_stays_one() -> None:
    assert not there_and_back(np.zeros((1, 2, 2), dtype=np.float32)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_stored(value: float) -> None:
    map = np.ones((1, 2, 2), dtype=np.float32)
    map[0, 1, 1] = value
    assert encode_map(map) is None


def test_a_missing_map_stays_missing() -> None:
    assert decode_map({"map": None, "scale": None, "shape": [1, 2, 2]}) is None


def test_a_shape_that_does_not_fit_is_refused() -> None:
    stored = encode_map(np.ones((1, 2, 2), dtype=np.float32))
    assert stored is not None
    with pytest.raises(ValueError, match="reshape"):
        decode_map({"map": stored.values, "scale": stored.scale, "shape": [1, 2, 3]})

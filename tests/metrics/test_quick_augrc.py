"""The quick way to AUGRC of many resamples gives the very numbers of the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.quick_augrc import augrc_of_counts, quick
from harness.metrics.risk_coverage import augrc


def repeated(confidence: np.ndarray, residual: np.ndarray, counts: np.ndarray) -> float:
    """The definition: AUGRC of the data in which every sample is there as often as it was drawn."""
    if not counts.sum():
        return float("nan")
    return augrc(np.repeat(confidence, counts), np.repeat(residual, counts))


@settings(max_examples=60)
@given(st.integers(1, 40) | st.integers(120, 300), st.integers(1, 4), st.floats(0, 1), st.integers(0, 1000))
def test_every_resample_is_the_repeated_data(n: int, levels: int, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(levels * n, size=n).astype(np.float32)
    residual = (rng.random(n) < rate).astype(float)
    counts = rng.poisson(1.0, size=(n + 3, 7)).astype(np.int16)
    rows = rng.permutation(n + 3)[:n]
    found = augrc_of_counts(confidence, residual, counts, rows)
    expected = [repeated(confidence, residual, counts[rows, b]) for b in range(7)]
    assert np.array_equal(found, expected, equal_nan=True), "bit by bit: all sums are of whole numbers"


@pytest.mark.parametrize("levels", [3, 40, 10**9])
@pytest.mark.parametrize("often", [1, 20, 300])
def test_cells_of_any_size_hold_their_sums(levels: int, often: int) -> None:
    """Few or many equal confidences, and counts for which a cell holds many samples, or few; half of all fail."""
    rng = np.random.default_rng(often)
    confidence = rng.integers(levels, size=2000).astype(float)
    residual = rng.integers(2, size=2000).astype(float)
    counts = np.stack([np.full(2000, often), rng.integers(often + 1, size=2000)], axis=1)
    found = augrc_of_counts(confidence, residual, counts, np.arange(2000))
    assert found.tolist() == [repeated(confidence, residual, counts[:, b]) for b in range(2)]


def test_it_is_for_whole_failures_only() -> None:
    counts = np.ones((3, 2), dtype=np.int16)
    with pytest.raises(ValueError, match="0 or 1"):
        augrc_of_counts([1.0, 2.0, 3.0], [0.0, 0.5, 1.0], counts, np.arange(3))
    assert not quick(np.zeros(1 << 15))
    assert not quick(np.array([]))
    assert quick(np.array([0.0, 1.0]))
    assert not quick(np.zeros(9), samples=1 << 15), "so many are drawn"


def test_sums_as_large_as_allowed() -> None:
    most = (1 << 15) - 1
    confidence, residual = np.arange(200.0), np.arange(200) % 2.0
    counts = np.zeros((200, 3), dtype=np.int16)
    counts[[0, 1, 199], [0, 1, 2]] = most
    assert augrc_of_counts(confidence, residual, counts, np.arange(200)).tolist() == [0.0, 0.5, 0.5]

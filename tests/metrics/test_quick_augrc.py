"""The quick way to AUGRC of many resamples gives the very numbers of the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.quick_augrc import augrc_of_counts, quick
from harness.metrics.risk_coverage import augrc

SEEDS = st.integers(0, 1000)


def repeated(confidence: np.ndarray, residual: np.ndarray, counts: np.ndarray) -> float:
    """The definition: AUGRC of the data in which every sample is there as often as it was drawn."""
    if not counts.sum():
        return float("nan")
    return augrc(np.repeat(confidence, counts), np.repeat(residual, counts))


@settings(max_examples=80)
@given(
    st.integers(1, 40) | st.integers(120, 900), st.integers(1, 4), st.floats(0, 1), st.sampled_from([1, 12, 200]), SEEDS
)
def test_every_resample_is_the_repeated_data(n: int, levels: int, rate: float, mean: int, seed: int) -> None:
    """mean: of how often a sample is drawn; sums over few samples fit into 8 bits only where it is small."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(levels * n, size=n).astype(np.float32)
    residual = (rng.random(n) < rate).astype(float)
    keep = rng.permutation(np.arange(n + 3) < n)
    counts = np.minimum(rng.poisson(mean, size=(n + 3, 7)), 255).astype(np.uint8)
    found = augrc_of_counts(confidence, residual, [counts[:, :3], counts[:, 3:]], keep)
    expected = [repeated(confidence, residual, counts[keep, b]) for b in range(7)]
    assert np.array_equal(found, expected, equal_nan=True), "bit by bit: all sums are of whole numbers"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 70)), max_size=30), st.integers(1, 3), SEEDS)
def test_long_runs_of_failures_and_successes(runs: list[tuple[bool, int]], ties: int, seed: int) -> None:
    """They are cut into several parts. ties: samples that share a confidence."""
    residual = np.concatenate([[1.0], *(np.full(length, float(fails)) for fails, length in runs)])
    confidence = -np.floor(np.arange(len(residual)) / ties)
    counts = np.random.default_rng(seed).poisson(1.0, size=(len(residual), 4)).astype(np.uint8)
    expected = [repeated(confidence, residual, counts[:, b]) for b in range(4)]
    assert np.array_equal(augrc_of_counts(confidence, residual, [counts]), expected, equal_nan=True)


def test_it_is_for_whole_failures_only() -> None:
    counts = np.ones((3, 2), dtype=np.uint8)
    with pytest.raises(ValueError, match="0 or 1"):
        augrc_of_counts([1.0, 2.0, 3.0], [0.0, 0.5, 1.0], [counts])
    assert not quick(np.array([]))
    assert not quick(np.array([0.0, 0.5]))
    assert quick(np.array([0.0, 1.0]))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_sums_as_large_as_counts_can_be(kind: type[np.unsignedinteger]) -> None:
    """The best, the worst and the mean ranking, with all counts at their largest: each partial sum reaches its bound."""
    n, most = 2**12, np.iinfo(kind).max >> (15 if kind is np.uint32 else 0)
    counts = np.full((n, 1), most, dtype=kind)
    for fails_above, expected in ((np.arange(n) < n // 2, 3 / 8), (np.arange(n) >= n // 2, 1 / 8)):
        assert augrc_of_counts(-np.arange(n), fails_above.astype(float), [counts]).tolist() == [expected]
    assert augrc_of_counts(np.zeros(n), np.arange(n) % 2.0, [counts]).tolist() == [1 / 4]

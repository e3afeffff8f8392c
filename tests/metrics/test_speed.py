"""Time and memory on one core; `make test-all` only, since a busy machine proves nothing."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from harness.metrics import augrc, aurc, paired_bootstrap

pytestmark = pytest.mark.slow


def test_augrc_of_a_million_samples():
    rng = np.random.default_rng(0)
    confidence, residual = rng.random(10**6), rng.random(10**6) < 0.1
    assert min(_seconds(lambda: augrc(confidence, residual)) for _ in range(3)) < 0.25


def test_bootstrap_of_a_leaderboard_cell():
    rng = np.random.default_rng(0)
    residual = rng.random(10**4) < 0.1
    confidences = {f"csf{i}": rng.random(10**4) - 0.3 * residual for i in range(13)}

    def cell():
        paired_bootstrap(confidences, residual, augrc)
        paired_bootstrap(confidences, residual, aurc)

    assert min(_seconds(cell) for _ in range(3)) < 1.5
    tracemalloc.start()
    cell()
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start

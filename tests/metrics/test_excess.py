from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import achievable_aurc, augrc, aurc, excess_augrc, excess_aurc

from . import references
from .references import FRACTION, samples


@given(samples(FRACTION))
def test_excess_equals_its_definition(sample):
    assert excess_augrc(*sample) == pytest.approx(references.excess_augrc(*sample), abs=1e-13)
    assert excess_aurc(*sample) == pytest.approx(references.excess_aurc(*sample), abs=1e-13)


@given(samples())
def test_excess_of_binary_residuals_equals_its_definition(sample):
    assert excess_augrc(*sample) == pytest.approx(references.excess_augrc(*sample), abs=1e-13)
    assert excess_aurc(*sample) == pytest.approx(references.excess_aurc(*sample), abs=1e-13)


@given(samples(FRACTION))
def test_excess_augrc_bounds(sample):
    assert -1e-14 <= excess_augrc(*sample) <= 0.25 + 1e-14


@given(samples())
def test_excess_aurc_bounds(sample):
    assert -0.5 < excess_aurc(*sample) < 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_an_ideal_ranking_has_no_excess(residual):
    ideal = sorted(residual, reverse=True)
    assert excess_augrc(range(len(ideal)), ideal) == pytest.approx(0, abs=1e-12)
    if not set(residual) <= {0, 1}:
        assert excess_aurc(range(len(ideal)), ideal) == pytest.approx(0, abs=1e-12)


@given(samples())
def test_optimum_of_binary_residuals(sample):
    error = np.mean(sample[1])
    assert augrc(*sample) - excess_augrc(*sample) == pytest.approx(error**2 / 2, abs=1e-14)


def test_excess_aurc_of_a_perfect_pair_is_negative():
    assert excess_aurc([1, 2], [1, 0]) == pytest.approx(1 / 8 - (1 - math.log(2)) / 2, abs=1e-15)


@given(samples(max_size=9))
def test_achievable_aurc_equals_quadrature_over_the_envelope(sample):
    assert achievable_aurc(*sample) == pytest.approx(references.achievable_aurc(*sample), abs=1e-9)


@given(samples(FRACTION, max_size=9))
def test_achievable_aurc_of_real_residuals_equals_quadrature(sample):
    assert achievable_aurc(*sample) == pytest.approx(references.achievable_aurc(*sample), abs=1e-9)


@given(samples(min_size=2))
def test_achievable_aurc_lies_between_optimum_and_chance(sample):
    error = np.mean(sample[1])
    optimum = error + (1 - error) * math.log(1 - error) if error < 1 else 1.0
    assert optimum - 1e-14 <= achievable_aurc(*sample) <= error + 1e-14


def test_a_useless_score_achieves_the_error_rate():
    # Rejecting at random keeps the risk: the dominant point of an inverted ranking is full coverage.
    assert achievable_aurc([1, 2, 3, 4], [0, 0, 1, 1]) == 1 / 2


def test_achievable_aurc_of_a_long_convex_curve():
    # Every tenth sample fails ever more often towards low confidence: many vertices survive the pruning.
    rng = np.random.default_rng(5)
    confidence = np.arange(400)
    residual = rng.random(400) < 1 - confidence / 400
    assert achievable_aurc(confidence, residual) <= aurc(confidence, residual)
    assert achievable_aurc(confidence, residual) == pytest.approx(_hull_by_definition(residual[::-1]))


def _hull_by_definition(failures_by_rank):
    """Walk the lower hull by always taking the flattest chord to a later point."""
    points = [(0, 0), *enumerate(np.cumsum(failures_by_rank).tolist(), start=1)]
    area, here = 0.0, points[0]
    while here != points[-1]:
        later = [p for p in points if p[0] > here[0]]
        there = min(later, key=lambda p: ((p[1] - here[1]) / (p[0] - here[0]), -p[0]))
        slope = (there[1] - here[1]) / (there[0] - here[0])
        log = math.log(there[0] / here[0]) if here[0] else 0.0
        area += slope * (there[0] - here[0]) + (here[1] - slope * here[0]) * log
        here = there
    return area / len(failures_by_rank)

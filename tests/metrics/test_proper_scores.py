from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import brier, failure_nll, nll

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=20)


@st.composite
def probabilities(draw):
    n, classes = draw(st.integers(1, 8)), draw(st.integers(2, 5))
    cell = st.floats(0.01, 1)
    rows = np.array(draw(st.lists(st.lists(cell, min_size=classes, max_size=classes), min_size=n, max_size=n)))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return rows / rows.sum(axis=1, keepdims=True), labels


@given(PAIRS)
def test_scores_of_the_event_correct(pairs):
    confidence, residual = zip(*pairs, strict=True)
    squares = [(c - (1 - r)) ** 2 for c, r in pairs]
    assert brier(confidence, residual) == pytest.approx(sum(squares) / len(pairs), abs=1e-14)
    logs = [-math.log(max(1 - c if r else c, 1e-7)) for c, r in pairs]
    assert nll(confidence, residual) == pytest.approx(sum(logs) / len(pairs), abs=1e-12)


@given(PAIRS)
def test_failure_nll_equals_its_definition(pairs):
    confidence, residual = zip(*pairs, strict=True)
    logs = [-math.log((1 - c if r else c) + 1e-7) for c, r in pairs]
    assert failure_nll(confidence, residual) == pytest.approx(sum(logs) / len(pairs), abs=1e-12)


@given(probabilities())
def test_scores_of_all_classes(case):
    probability, labels = case
    one_hot = np.eye(probability.shape[1])[labels]
    expected = ((probability - one_hot) ** 2).sum() / len(labels)
    assert brier(probability, labels) == pytest.approx(expected, abs=1e-13)
    logs = [-math.log(row[y]) for row, y in zip(probability, labels, strict=True)]
    assert nll(probability, labels) == pytest.approx(sum(logs) / len(logs), abs=1e-12)


@given(PAIRS)
def test_two_classes_are_the_event_correct(pairs):
    confidence, residual = (np.array(x) for x in zip(*pairs, strict=True))
    both = np.stack([1 - confidence, confidence], axis=1)
    assert brier(both, 1 - residual) == pytest.approx(2 * brier(confidence, residual), abs=1e-13)
    assert nll(both, 1 - residual) == pytest.approx(nll(confidence, residual), abs=1e-12)


def test_uniform_probabilities_cost_the_logarithm_of_their_number():
    assert nll(np.full((4, 5), 0.2), [0, 1, 2, 4]) == pytest.approx(math.log(5))


def test_certain_and_right_is_plus_zero():
    for score in (nll([1, 0], [0, 1]), nll(np.eye(3), [0, 1, 2]), brier(np.eye(3), [0, 1, 2])):
        assert score == 0
        assert not np.signbit(score)


def test_certain_and_wrong_stays_finite():
    assert nll([1.0], [1]) == pytest.approx(-math.log(1e-7))
    assert brier(np.eye(2), [1, 0]) == 2


def test_half_precision_probabilities_are_accepted():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 1000))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = rng.integers(0, 1000, 20)
    assert brier(probability.astype(np.float16), labels) == pytest.approx(brier(probability, labels), rel=1e-3)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_failure_nll_of_a_soft_target_is_least_at_the_target(failure_rate, confidence):
    at_target = failure_nll([1 - failure_rate], [failure_rate])
    assert at_target <= failure_nll([confidence], [failure_rate]) + 1e-6


@pytest.mark.parametrize("confidence", [-0.001, 1.001, 5.0])
def test_failure_nll_is_undefined_outside_the_unit_interval(confidence):
    assert np.isnan(failure_nll([0.5, confidence], [0, 1]))


def test_failure_nll_refuses_residuals_above_one():
    with pytest.raises(ValueError, match=r"residual must lie in \[0, 1\]: sample 1"):
        failure_nll([0.1, 0.5], [0, 2])


@pytest.mark.parametrize("metric", [brier, nll])
@pytest.mark.parametrize(
    ("confidence", "residual", "cause"),
    [
        ([0.5, 1.5], [0, 1], r"confidence must lie in \[0, 1\]: sample 1"),
        ([0.5, -0.1], [0, 1], r"confidence must lie in \[0, 1\]: sample 1"),
        ([0.5, 0.1], [0, 0.5], "residual must be binary"),
        ([[0.5, 0.1]], [0], "probabilities must sum to 1"),
        ([[1.5, -0.5]], [0], r"probabilities must lie in \[0, 1\]"),
        ([[0.5, 0.5]], [2], r"labels must lie in \[0, 1\]"),
        ([[0.5, 0.5]], [-1], r"labels must lie in \[0, 1\]"),
        ([[0.5, 0.5]], [0.0], "labels must be integers"),
        ([[0.5, 0.5]], [0, 1], "labels has 2 samples"),
        ([[np.nan, 0.5]], [0], "probabilities must be finite"),
        (np.empty((0, 3)), [], "probabilities is empty"),
        ([[[0.5]]], [0], "confidence must have one dimension"),
    ],
)
def test_bad_input(metric, confidence, residual, cause):
    with pytest.raises(ValueError, match=cause):
        metric(confidence, residual)

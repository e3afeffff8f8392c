from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from harness.metrics import augrc, aurc, balanced_augrc, balanced_aurc

from . import references
from .references import FRACTION, labelled_samples, samples


@given(labelled_samples(FRACTION))
def test_balanced_areas_equal_their_definition(sample):
    assert balanced_augrc(*sample) == pytest.approx(references.balanced_augrc(*sample), abs=1e-13)
    assert balanced_aurc(*sample) == pytest.approx(references.balanced_aurc(*sample), abs=1e-13)


@given(samples(FRACTION))
def test_one_class_is_the_plain_area(sample):
    labels = [7] * len(sample[0])
    assert balanced_augrc(*sample, labels) == pytest.approx(augrc(*sample), abs=1e-14)
    assert balanced_aurc(*sample, labels) == pytest.approx(aurc(*sample), abs=1e-14)


@given(samples(FRACTION))
def test_classes_of_equal_size_leave_augrc_alone(sample):
    confidence, residual = sample[0] * 2, sample[1] * 2
    labels = [0] * len(sample[0]) + [1] * len(sample[0])
    assert balanced_augrc(confidence, residual, labels) == pytest.approx(augrc(*sample), abs=1e-14)


@given(labelled_samples(FRACTION))
def test_bounds(sample):
    assert 0 <= balanced_augrc(*sample) < 1
    assert 0 <= balanced_aurc(*sample) <= 1


def test_published_toy_example():
    sample = [0, 1, 2, 3], [0, 1, 0, 1], [0, 0, 1, 1]
    assert balanced_aurc(*sample) == 0.5
    assert balanced_augrc(*sample) == 0.3125


def test_an_emptied_class_counts_as_no_risk():
    # All wrong; above the lower sample only class 1 is left, whose risk 1 is averaged with 0.
    assert balanced_aurc([1, 2], [1, 1], [0, 1]) == 0.5 * (1 + 0.5) / 2 + 0.5 * 0.5


def test_names_of_classes_are_irrelevant():
    rng = np.random.default_rng(0)
    confidence, residual, labels = rng.random(50), rng.random(50), rng.integers(0, 4, 50)
    renamed = np.array([-99, 3, 10**12, 0])[labels]
    assert balanced_augrc(confidence, residual, labels) == pytest.approx(
        balanced_augrc(confidence, residual, renamed), abs=1e-15
    )
    assert balanced_aurc(confidence, residual, labels) == pytest.approx(
        balanced_aurc(confidence, residual, renamed), abs=1e-15
    )


@pytest.mark.parametrize("metric", [balanced_augrc, balanced_aurc])
@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        ([0], "labels has 1 samples"),
        ([0.0, 1.0], "labels must be integers"),
        ([0.0, np.nan], "labels must be finite"),
        (["a", "b"], "labels must be real numbers"),
        ([[0], [1]], "labels must have one dimension"),
        ([], "labels is empty"),
    ],
)
def test_bad_labels(metric, labels, cause):
    with pytest.raises(ValueError, match=cause):
        metric([1, 2], [0, 1], labels)

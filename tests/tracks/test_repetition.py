"""What a difference of answers is measured against."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.tracks.repetition import magnitudes

NUMBERS = st.floats(-1e6, 1e6)
ANSWERS = arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=NUMBERS)


@given(ANSWERS, st.integers(0, 2**32 - 1))
def test_by_brute_force(one, seed):
    other = one[np.random.default_rng(seed).permutation(len(one))]
    peaks = [max(abs(number) for number in row) for row in other]
    expected = [
        max(max(map(abs, row)), peak, float(np.median(peaks))) or 1.0 for row, peak in zip(one, peaks, strict=True)
    ]
    assert magnitudes(one, other, other).tolist() == expected


@given(ANSWERS, st.floats(1e7, 1e30))
def test_fewer_than_half_huge_answers_change_nothing_for_the_others(answers, huge):
    some = np.concatenate([answers, answers, np.full((len(answers) - 1, answers.shape[1]), huge)])
    usual = max(np.abs(answers).max(), 0.0)
    assert (magnitudes(answers, answers, some) <= (usual or 1.0)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_does_not_count(bad):
    answers = np.array([1.0, bad, 3.0])
    assert magnitudes(answers, answers, answers).tolist() == [1.0, 1.0, 3.0]


def test_of_nothing():
    assert magnitudes(*[np.zeros((0, 2))] * 3).shape == (0,)

"""Scores of a committee against their definitions, position by position."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.methods import uncertainty

from .support import RULES, by_position, committee

SCORES = sorted(RULES)


def scored(name, probabilities):
    return getattr(uncertainty, name)(torch.from_numpy(probabilities)).numpy()


@st.composite
def committees(draw):
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3)))
    odds = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1e-30, 0.01, 0.5, 1.0, 7.0])))
    odds[:, 0] += odds.sum(axis=1) == 0
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", SCORES)
@given(probabilities=committees())
@settings(max_examples=30)
def test_every_position_as_defined(name, probabilities):
    assert scored(name, probabilities) == pytest.approx(by_position(RULES[name], probabilities), abs=1e-12)


@given(committees())
@settings(max_examples=50)
def test_total_is_at_least_expected_entropy_and_their_difference_the_information(probabilities):
    total, expected, information = (
        scored(name, probabilities) for name in ("predictive_entropy", "expected_entropy", "mutual_information")
    )
    assert (total >= expected - 1e-12).all()
    assert (information >= 0).all()
    assert information == pytest.approx(total - expected, abs=1e-12)
    assert (information <= math.log(len(probabilities)) + 1e-12).all()


@pytest.mark.parametrize("name", SCORES)
@given(probabilities=committees(), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_members_have_no_order(name, probabilities, seed):
    shuffled = probabilities[np.random.default_rng(seed).permutation(len(probabilities))]
    assert scored(name, shuffled) == pytest.approx(scored(name, probabilities), abs=1e-12)


def test_known_values():
    even, sure = [0.25] * 4, [1.0, 0, 0, 0]
    split = np.array([[sure, even], [[0, 0, 0, 1.0], even]]).transpose(0, 2, 1)  # (2 members, 4 classes, 2 positions)
    assert scored("predictive_entropy", split) == pytest.approx([math.log(2), math.log(4)])
    assert scored("expected_entropy", split) == pytest.approx([0, math.log(4)])
    assert scored("mutual_information", split) == pytest.approx([math.log(2), 0])
    assert scored("variation_ratio", split) == pytest.approx([0.5, 0.75])
    assert scored("margin", split) == pytest.approx([0, 0])


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("positions", [(23,), (7, 5, 9)])
def test_the_size_of_a_slab_changes_no_bit(monkeypatch, name, positions):
    probabilities = committee(positions, seed=3)
    whole = scored(name, probabilities)
    for entries in (1, 3 * 4, 3 * 45 * 2, 3 * 45 * 3, 1 << 30):
        monkeypatch.setattr(uncertainty, "_ENTRIES", entries)
        assert np.array_equal(scored(name, probabilities), whole)


@pytest.mark.parametrize("name", SCORES)
def test_of_a_mapped_file(tmp_path, name):
    probabilities = committee((6, 4, 5))
    np.save(tmp_path / "p.npy", probabilities)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="c", allow_pickle=False)
    assert np.array_equal(scored(name, mapped), scored(name, probabilities))


@pytest.mark.parametrize("name", SCORES)
def test_scores_take_no_more_memory_than_two_members_and_a_half(monkeypatch, name):
    """The largest tensor that is made stays far below a member."""
    from torch.utils._python_dispatch import TorchDispatchMode

    probabilities = torch.from_numpy(committee((64, 20, 20), members=5, classes=8))
    monkeypatch.setattr(uncertainty, "_ENTRIES", 8 * 400 * 4)
    made = 0

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal made
            result = function(*args, **(kwargs or {}))
            own = isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() != start
            made = max(made, result.untyped_storage().nbytes() if own else 0)
            return result

    start = probabilities.untyped_storage().data_ptr()
    with Largest():
        getattr(uncertainty, name)(probabilities)
    assert made <= 64 * 400 * 8  # no tensor is larger than the scores themselves
    assert made * 4 < 2.5 * probabilities[0].nbytes


def test_what_is_no_committee_is_refused():
    with pytest.raises(ValueError, match=r"\(members, classes, \*positions\), got shape \(3, 4\)"):
        uncertainty.predictive_entropy(torch.ones(3, 4))

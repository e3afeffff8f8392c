"""Strategies that do not draw by position ask for the same images and patches, in the same order, in any order of the pool."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tracks.query.order import neutral_names

from .support import RULES, asked, by_position, committee, image_pool, volume_pool

SCORES = {
    "predictive-entropy": "predictive_entropy",
    "bald": "mutual_information",
    "expected-entropy": "expected_entropy",
    "variation-ratio": "variation_ratio",
    "margin-sampling": "margin",
}
COUNT, BUDGET = 30, 7
PROBABILITIES = committee((COUNT,), classes=4)
FEATURES = np.random.default_rng(1).normal(size=(COUNT + 6, 5))
VOLUMES = {name: committee((6, 9, 8), seed=seed) for seed, name in enumerate(("back", "middle", "front"))}
KNOWN = {"middle": [((0, 0, 0), (2, 3, 3))]}


def bought_images(baseline, order, labelled, entropy):
    """Rows of the data set, of a pool in this order."""
    with tempfile.TemporaryDirectory() as folder:
        features = FEATURES[:COUNT][order], FEATURES[COUNT:][labelled]
        pool = image_pool(Path(folder), PROBABILITIES[..., order], features=features[0], labelled_features=features[1])
        return [order[place] for place in asked(baseline, pool, budget=BUDGET, entropy=[0, entropy, 0])]


def bought_patches(baseline, order, entropy):
    """By the names of the data set, of volumes in this order."""
    shown = dict(zip(neutral_names(3), [list(VOLUMES)[place] for place in order], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        pool = {neutral: VOLUMES[own] for neutral, own in shown.items()}
        known = {neutral: KNOWN[own] for neutral, own in shown.items() if own in KNOWN}
        meta = volume_pool(Path(folder), pool, annotated=known)
        return [(shown[name], corner) for name, corner in asked(baseline, meta, entropy=[0, entropy, 0])]


@pytest.mark.parametrize("baseline", [*SCORES, "core-set", "kmeans-bald"])
@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations(range(COUNT)),
    labelled=st.permutations(range(6)),
    entropy=st.integers(min_value=0, max_value=9),
)
def test_images(baseline, order, labelled, entropy):
    expected = bought_images(baseline, list(range(COUNT)), list(range(6)), 0)
    if baseline in SCORES:
        scores = by_position(RULES[SCORES[baseline]], PROBABILITIES)
        assert expected == sorted(range(COUNT), key=lambda row: -scores[row])[:BUDGET]
    assert bought_images(baseline, order, labelled, entropy) == expected


@pytest.mark.parametrize("baseline", ["predictive-entropy", "bald", "expected-entropy", "expected-dice"])
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(3)), entropy=st.integers(min_value=0, max_value=9))
def test_patches(baseline, order, entropy):
    assert bought_patches(baseline, order, entropy) == bought_patches(baseline, [0, 1, 2], 0)

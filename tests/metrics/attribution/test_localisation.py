from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.metrics.attribution.localisation import PointingGame, RelevanceMass, RelevanceRank

from ._worlds import assert_independent, linear, world

KINDS = (RelevanceMass, RelevanceRank, PointingGame)
WIDTH = 4
# Few values, so that there are ties.
a_map = arrays(np.float64, (1, WIDTH, WIDTH), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
a_mask = arrays(np.bool_, (1, WIDTH, WIDTH)).filter(np.any)


def score(metric, maps, masks):
    """Of maps (n, 1 or 2, 4, 4) and masks (n, 1, 4, 4), on a linear model whose inputs do not matter here."""
    count = len(maps)
    inputs, targets = torch.zeros(count, 2, WIDTH, WIDTH, dtype=torch.float64), torch.zeros(count, dtype=torch.int64)
    maps, masks = torch.from_numpy(np.array(maps)), torch.from_numpy(np.array(masks))
    return metric(linear()[0], inputs, targets, maps, masks=masks, generator=torch.Generator()).numpy()


def mass(values, inside):
    positive = np.maximum(values, 0)
    return positive[inside].sum() / positive.sum() if positive.any() else 0.0


def rank(values, inside):
    """Mean over all orders of the tied positions, counted one subset at a time."""
    size = inside.sum()
    last = np.sort(values)[::-1][size - 1]
    sure, tied = np.flatnonzero(values > last), np.flatnonzero(values == last)
    hits = [
        inside[list(sure)].sum() + inside[list(more)].sum() for more in itertools.combinations(tied, size - len(sure))
    ]
    return np.mean(hits) / size


def pointing(values, inside):
    return inside[values == values.max()].mean()


DEFINITIONS = {RelevanceMass: mass, RelevanceRank: rank, PointingGame: pointing}


@pytest.mark.parametrize("modality", ["image", "volume", "cloud"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_on_its_sample_only(kind, modality):
    assert_independent(kind(), world(modality))


@pytest.mark.parametrize("kind", KINDS)
@given(a_map, a_mask)
def test_definition(kind, one, mask):
    values = one.ravel() if one.any() else np.ones(WIDTH * WIDTH)
    assert score(kind(), [one], [mask])[0] == pytest.approx(DEFINITIONS[kind](values, mask.ravel()), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(a_map, a_mask, st.sampled_from([0.5, 4.0]), st.randoms())
def test_neither_scale_nor_order_of_positions_matters(kind, one, mask, factor, random):
    order = random.sample(range(WIDTH * WIDTH), WIDTH * WIDTH)
    shuffled = [each.reshape(1, -1)[:, order].reshape(1, WIDTH, WIDTH) for each in (factor * one, mask)]
    first, second = score(kind(), [one, shuffled[0]], [mask, shuffled[1]])
    assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(a_mask)
def test_a_map_that_is_the_mask_is_perfect_and_its_opposite_the_worst(kind, mask):
    mask[0, 0, 0] = not mask[0, 1:].any()  # something is outside, something inside
    right, wrong = score(kind(), [mask.astype(float), 1.0 - mask], [mask, mask])
    assert right == 1.0
    assert wrong < right
    if kind is not RelevanceRank or mask.sum() <= WIDTH * WIDTH / 2:
        assert wrong == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 2.0])
@given(a_mask)
def test_a_constant_map_gets_the_share_of_the_mask(kind, value, mask):
    assert score(kind(), [np.full((1, WIDTH, WIDTH), value)], [mask])[0] == pytest.approx(mask.mean())


@pytest.mark.parametrize("kind", KINDS)
def test_random_maps_get_the_share_of_the_mask_on_average(kind):
    generator, count = np.random.default_rng(0), 20_000
    mask = np.zeros((1, WIDTH, WIDTH), dtype=bool)
    mask[:, :2, :3] = True
    maps = generator.exponential(size=(count, 1, WIDTH, WIDTH))
    scores = score(kind(), maps, np.broadcast_to(mask, maps.shape))
    assert abs(scores.mean() - mask.mean()) < 4 * scores.std() / np.sqrt(count)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_mask_has_no_score(kind):
    masks = np.zeros((2, 1, WIDTH, WIDTH), dtype=bool)
    masks[1, 0, 0, 0] = True
    scores = score(kind(), np.ones((2, 1, WIDTH, WIDTH)), masks)
    assert np.isnan(scores[0])
    assert scores[1] == pytest.approx(1 / 16)


def test_negative_attribution_is_no_mass():
    one = np.array([[-5.0, 1.0, 0.0, 0.0]] + [[0.0] * 4] * 3)[None]
    mask = np.zeros((1, WIDTH, WIDTH), dtype=bool)
    mask[0, 0, :2] = True
    assert score(RelevanceMass(), [one], [mask])[0] == 1.0
    assert score(RelevanceMass(), [-np.abs(one) - 1], [mask])[0] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_averaged(kind):
    generator = np.random.default_rng(1)
    maps, masks = generator.normal(size=(3, 2, WIDTH, WIDTH)), generator.random((3, 1, WIDTH, WIDTH)) < 0.5
    pooled = score(kind(), maps.mean(axis=1, keepdims=True), masks)
    np.testing.assert_allclose(score(kind(), maps, masks), pooled, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_that_are_none(kind):
    given = world("image")
    with pytest.raises(ValueError, match="masks="):
        given.score(kind(), masks=None)
    with pytest.raises(ValueError, match="masks have shape"):
        given.score(kind(), masks=given.masks[:, 0])
    with pytest.raises(ValueError, match="0 and 1"):
        given.score(kind(), masks=given.masks * 0.5)

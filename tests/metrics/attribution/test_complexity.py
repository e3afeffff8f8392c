from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.metrics.attribution.complexity import Complexity, EffectiveComplexity, Sparseness

from ._worlds import assert_independent, linear, world

KINDS = (Sparseness, Complexity, EffectiveComplexity)
READINGS = ("corrected", "latec")
WIDTH = 4
finite = st.floats(-1e3, 1e3).map(lambda value: 0.0 if abs(value) < 1e-3 else value)
a_map = arrays(np.float64, (2, WIDTH, WIDTH), elements=finite)


def score(metric, *maps):
    """Of maps (2 or 1, 4, 4), on a linear model whose inputs do not matter here."""
    values = torch.from_numpy(np.stack(maps))
    inputs = torch.zeros(len(values), 2, WIDTH, WIDTH, dtype=torch.float64)
    targets = torch.zeros(len(values), dtype=torch.int64)
    return metric(linear()[0], inputs, targets, values, generator=torch.Generator()).numpy()


def values_of(one, reading):
    """What is read of a map, in its own units."""
    values = np.broadcast_to(one, (2, WIDTH, WIDTH)) if reading == "latec" else one.mean(axis=0)
    values = np.abs(values).ravel()
    return values / values.max() if values.any() else np.ones_like(values)


def gini(values):
    """Half the mean absolute difference of all pairs over the mean."""
    return np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())


def entropy(values):
    shares = values / values.sum()
    return -sum(share * math.log(share) for share in shares if share > 0)


DEFINITIONS = {
    Sparseness: gini,
    Complexity: entropy,
    EffectiveComplexity: lambda values: sum(value > 0.01 for value in values),
}


@pytest.mark.parametrize("modality", ["image", "volume", "cloud"])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_on_its_sample_only(kind, reading, modality):
    assert_independent(kind(reading=reading), world(modality))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", KINDS)
@given(a_map)
def test_definition(kind, reading, one):
    tolerance = 1e-7 if kind is Sparseness and reading == "latec" else 1e-12  # LATEC adds 1e-9 to each value
    if one.any():
        expected = DEFINITIONS[kind](values_of(one, reading))
        assert score(kind(reading=reading), one)[0] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", KINDS)
@given(a_map, st.sampled_from([0.25, 4.0, -2.0]), st.randoms())
def test_neither_scale_nor_sign_nor_place_matters(kind, reading, one, factor, random):
    order = random.sample(range(WIDTH * WIDTH), WIDTH * WIDTH)
    other = factor * one.reshape(2, -1)[:, order].reshape(one.shape)
    first, second = score(kind(reading=reading), one, other)
    assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_constant_maps(reading, value):
    constant = np.full((1, WIDTH, WIDTH), value)
    count = WIDTH * WIDTH * (2 if reading == "latec" else 1)
    assert score(Sparseness(reading=reading), constant) == pytest.approx(0.0, abs=1e-15)
    assert score(Complexity(reading=reading), constant) == pytest.approx(math.log(count))
    assert score(EffectiveComplexity(reading=reading), constant) == count


def test_maps_of_one_position():
    one = np.zeros((2, WIDTH, WIDTH))
    one[:, 1, 2] = 5.0
    assert score(Sparseness(), one) == pytest.approx(1 - 1 / 16)
    assert score(Complexity(), one) == 0.0
    assert score(EffectiveComplexity(), one) == 1


@pytest.mark.parametrize("kind", KINDS)
@given(arrays(np.float64, (1, WIDTH, WIDTH), elements=finite))
def test_one_channel_is_as_good_as_equal_channels(kind, one):
    repeated = np.broadcast_to(one, (2, WIDTH, WIDTH))
    for reading in READINGS:
        assert score(kind(reading=reading), one) == pytest.approx(score(kind(reading=reading), repeated))


@pytest.mark.parametrize("kind", KINDS)
def test_channels_go_together_unless_read_as_latec_does(kind):
    one = np.zeros((2, WIDTH, WIDTH))
    one[0, 0, 0], one[1, 3, 3] = 1.0, 1.0
    other = np.zeros((2, WIDTH, WIDTH))
    other[:, 0, 0], other[:, 3, 3] = 0.5, 0.5
    corrected = score(kind(), one, other)
    assert corrected[0] == pytest.approx(corrected[1])
    latec = score(kind(reading="latec"), one, other)
    assert abs(latec[0] - latec[1]) > 0.01


def test_the_threshold_is_relative_to_the_largest():
    one = np.linspace(1, 16, 16).reshape(1, WIDTH, WIDTH)
    assert score(EffectiveComplexity(epsilon=0.5), one) == 8  # 9 to 16
    assert score(EffectiveComplexity(epsilon=0.0), one) == 16
    with pytest.raises(ValueError, match="epsilon"):
        EffectiveComplexity(epsilon=1.0)

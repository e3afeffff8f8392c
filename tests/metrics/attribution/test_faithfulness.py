from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import nn

from harness.metrics.attribution import METRICS
from harness.metrics.attribution._segments import windows
from harness.metrics.attribution.faithful_agreement import Infidelity, Sufficiency
from harness.metrics.attribution.faithful_correlation import (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    MonotonicityCorrelation,
)
from harness.metrics.attribution.faithful_insertion import Deletion, Insertion
from harness.metrics.attribution.faithful_regions import IROF, RegionPerturbation
from harness.metrics.attribution.faithful_removal import ROAD, PixelFlipping
from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.map_batch import MapBatch

from . import _by_hand
from ._worlds import World, linear, world

MODALITIES = ("image", "volume", "cloud")
READINGS = ("corrected", "latec")
SINGLE = [
    metric
    for reading in READINGS
    for metric in (
        FaithfulnessCorrelation(subset=5, runs=12, reading=reading),
        FaithfulnessEstimate(step=5, reading=reading),
        MonotonicityCorrelation(step=7, draws=3, reading=reading),
        PixelFlipping(step=5, reading=reading),
        RegionPerturbation(patch=3, regions=5, clusters=5, reading=reading),
        *([RegionPerturbation(patch=3, regions=5, baseline="mean", reading="latec")] if reading == "latec" else []),
        Insertion(step=5, sigma=1.5, kernel=5, reading=reading),
        Deletion(step=5, reading=reading),
        IROF(segments=12, clusters=5, reading=reading),
        ROAD(percentages=(5, 20, 45, 70, 90), noise=0.3, reading=reading),
        *([ROAD(percentages=(5, 20, 45, 70), noise=0.3, counted="numbers", reading="latec")] * (reading == "latec")),
        Infidelity(draws=6, reading=reading),
    )
]
SUFFICIENCY = [Sufficiency(reading=reading, threshold=0.8) for reading in READINGS]


def name(metric):
    return f"{metric.id}-{metric.reading}"


def seeded():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("metric", SINGLE, ids=name)
def test_definition(metric, modality):
    given_ = world(modality, samples=3)
    samples = MapBatch(given_.inputs, given_.targets, given_.maps, 7)
    expected = [getattr(_by_hand, metric.id)(_by_hand.Hand(given_, samples, row), metric) for row in range(3)]
    scores = given_.score(metric)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert len(set(expected)) > 1 or metric.id == "road"


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("metric", SINGLE, ids=name)
def test_a_score_depends_on_its_sample_only(metric, modality):
    given_ = world(modality, samples=4)
    whole = given_.score(metric)
    alone = torch.cat([given_.score(metric, slice(row, row + 1)) for row in range(4)])
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9)
    torch.testing.assert_close(given_.score(metric, order), whole[order], rtol=0, atol=1e-9)
    if metric.reading == "corrected":
        assert bool(((whole >= metric.range[0]) & (whole <= metric.range[1])).all())


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("metric", [*SINGLE, *SUFFICIENCY], ids=name)
def test_the_micro_batch_does_not_matter_in_single_precision(metric, modality):
    given_ = world(modality, samples=3, dtype=torch.float32)
    one, seven, many = (given_.score(metric, model=Forwards(given_.model, micro_batch=size)) for size in (1, 7, 32))
    # Infidelity divides by changes of the logit that are themselves small: rounding, which differs between processors,
    # weighs more (7e-5 of 0.2 was seen). In double precision nothing is left of it: see the tests above.
    close = 5e-4 if metric.id == "infidelity" else 1e-6
    torch.testing.assert_close(one, many, rtol=1e-5, atol=close)
    torch.testing.assert_close(seven, many, rtol=1e-5, atol=close)


@pytest.mark.parametrize("metric", SINGLE, ids=name)
def test_a_map_of_one_channel_counts_for_all(metric):
    given_ = world("image", samples=3)
    one = given_.maps[:, :1]
    torch.testing.assert_close(
        given_.score(metric, maps=one), given_.score(metric, maps=one.expand_as(given_.inputs)), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("metric", [m for m in [*SINGLE, *SUFFICIENCY] if name(m) != "infidelity-latec"], ids=name)
@settings(max_examples=5)
@given(factor=st.floats(1e-6, 1e6))
def test_the_scale_of_a_map_does_not_matter(metric, factor):
    given_ = world("cloud", samples=3)
    torch.testing.assert_close(
        given_.score(metric, maps=given_.maps * factor), given_.score(metric), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0])
@pytest.mark.parametrize(
    "metric",
    [
        FaithfulnessCorrelation(),
        FaithfulnessEstimate(step=7),
        MonotonicityCorrelation(step=7),
        FaithfulnessCorrelation(reading="latec"),
    ],
    ids=name,
)
def test_a_constant_map_does_not_correlate(metric, value):
    given_ = world("image", samples=3)
    scores = given_.score(metric, maps=torch.full_like(given_.inputs[:, :1], value))
    assert scores.tolist() == [0.0] * 3


@pytest.mark.parametrize("metric", SINGLE, ids=name)
def test_zero_maps_are_scored_as_constant_ones(metric):
    given_ = world("image", samples=2)
    if name(metric) == "infidelity-latec":
        pytest.skip("takes maps as they are")
    zero = given_.score(metric, maps=torch.zeros_like(given_.inputs))
    torch.testing.assert_close(zero, given_.score(metric, maps=torch.full_like(given_.inputs, 0.5)))


def test_equal_attributions_are_not_ordered_by_position():
    """A map that is constant gets, over many samples, the score of a random one; in order of memory it would not."""
    weights = torch.zeros(1, 4, 4, dtype=torch.float64)
    weights[0, :2] = 1 / 8  # all evidence lies in the upper half, which comes first in memory
    model = LinearProbability(weights)
    inputs = torch.ones(400, 1, 4, 4, dtype=torch.float64) - torch.rand(400, 1, 4, 4, dtype=torch.float64) * 1e-6
    targets, maps = torch.zeros(400, dtype=torch.int64), torch.ones(400, 1, 4, 4)
    fair = Deletion(step=1)(model, inputs, targets, maps, generator=seeded())
    latec = Deletion(step=1, reading="latec")(model, inputs, targets, maps, generator=seeded())
    # Linear: the expected curve of a random order is a straight line from 1 to 0.
    assert abs(float(fair.mean()) - 0.5) < 4 * float(fair.std()) / 20
    assert float(fair.std()) > 0.02
    assert float(latec.max()) < 0.3


class LinearProbability(nn.Module):
    """Two classes; the soft-max probability of the first is linear in the input."""

    def __init__(self, weights, offset=0.0):
        super().__init__()
        self.register_buffer("weights", weights)
        self.offset = offset
        self.eval()

    def forward(self, inputs):
        probability = (inputs * self.weights).flatten(1).sum(dim=1) + self.offset
        probability = probability.clamp(1e-12, 1 - 1e-12)
        return torch.stack([probability.log(), (1 - probability).log()], dim=1)


def linear_world(samples=4, channels=2, width=6, signed=True):
    """Probabilities between 0.1 and 0.9 whatever is set to 0; input x gradient is the exact effect of each number."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.rand(samples, channels, width, width, generator=generator, dtype=torch.float64)
    inputs[:, :, 0, 0] = 0.0  # so that "black", the smallest number, is 0
    weights = torch.rand(channels, width, width, generator=generator, dtype=torch.float64)
    weights = (weights - 0.5 * signed) * 0.8 / weights.numel()
    model = LinearProbability(weights, 0.5 if signed else 0.1)
    targets = torch.zeros(samples, dtype=torch.int64)
    return World(model, inputs, targets, inputs * weights, targets, None)


def probability_without_input(given_: World) -> float:
    with torch.no_grad():
        return float(given_.model(torch.zeros_like(given_.inputs[:1])).softmax(dim=1)[0, 0])


class LinearLogit(nn.Module):
    """Two classes; the logit of the first is linear in the input."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)
        self.eval()

    def forward(self, inputs):
        logit = (inputs * self.weights).flatten(1).sum(dim=1)
        return torch.stack([logit, 3 * logit.square()], dim=1)


@pytest.mark.parametrize("reading", READINGS)
def test_exact_effects_correlate_perfectly(reading):
    """Effects on the probability; in LATEC's reading on the logit."""
    given_ = linear_world()
    if reading == "latec":
        given_ = dataclasses.replace(given_, model=LinearLogit(given_.model.weights))
    for metric in (FaithfulnessCorrelation(reading=reading), FaithfulnessEstimate(step=4, reading=reading)):
        torch.testing.assert_close(given_.score(metric), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-9)
        opposite = given_.score(metric, maps=-given_.maps)
        torch.testing.assert_close(opposite, -torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("metric", [PixelFlipping(step=3), Deletion(step=3), Deletion()], ids=name)
def test_a_linear_curve_and_its_reverse_sum_up(metric):
    """curve(k) of the reversed order = p(x) + p(0) - curve(steps - k), with steps of equal size."""
    given_ = linear_world()
    both = given_.score(metric) + given_.score(metric, maps=-given_.maps)
    with torch.no_grad():
        whole = given_.model(given_.inputs).softmax(dim=1)[:, 0]
    torch.testing.assert_close(both, whole + probability_without_input(given_), rtol=0, atol=1e-9)


def test_insertion_of_a_linear_model_and_its_reverse_sum_up():
    given_ = linear_world()
    metric = Insertion(sigma=2.0, kernel=5)
    both = given_.score(metric) + given_.score(metric, maps=-given_.maps)
    with torch.no_grad():
        ends = [given_.model(x).softmax(dim=1)[:, 0] for x in (given_.inputs, blurred(given_.inputs, 2.0, 5))]
    torch.testing.assert_close(both, ends[0] + ends[1], rtol=0, atol=1e-9)


def blurred(inputs, sigma, kernel):
    """Outer product of two Gaussians, over inputs mirrored at the border."""
    line = torch.exp(-0.5 * (torch.arange(kernel, dtype=torch.float64) - kernel // 2) ** 2 / sigma**2)
    square = torch.outer(line, line) / line.sum() ** 2
    padded = nn.functional.pad(inputs, (kernel // 2,) * 4, mode="reflect")
    channels = inputs.shape[1]
    return nn.functional.conv2d(padded, square.expand(channels, 1, kernel, kernel), groups=channels)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_no_order_beats_the_exact_effects(seed):
    given_ = linear_world(samples=2)
    maps = torch.rand(given_.maps.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for metric in (PixelFlipping(step=1), Deletion(step=4)):
        assert bool((given_.score(metric) <= given_.score(metric, maps=maps) + 1e-12).all())
    drop = RegionPerturbation(patch=2, regions=4, baseline="zero")
    assert bool((given_.score(drop) >= given_.score(drop, maps=maps) - 1e-12).all())


def test_regions_of_a_linear_model():
    """The mean drop after 0, 1, 2, 3 regions, from the effects of the patches alone."""
    given_ = linear_world()
    effects = nn.functional.avg_pool2d(given_.maps.sum(dim=1), 2, divisor_override=1).flatten(1)
    best = effects.sort(dim=1, descending=True).values[:, :3].cumsum(dim=1)
    expected = (best[:, 0] + best[:, 1] + best[:, 2] / 2) / 3
    scores = given_.score(RegionPerturbation(patch=2, regions=3, baseline="zero"))
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)


def test_irof_of_a_model_that_ignores_its_input_is_zero():
    given_ = linear_world()
    model = LinearProbability(torch.zeros_like(given_.inputs[0]), 0.4)
    torch.testing.assert_close(given_.score(IROF(), model=model), torch.zeros(4, dtype=torch.float64))


def test_irof_of_a_linear_model_and_its_reverse_sum_up():
    """Nothing is left of the probability without input, so that share(k) of the reverse = 1 - share(steps - k)."""
    given_ = linear_world(signed=False)
    model = LinearProbability(given_.model.weights)
    metric = IROF(segments=9, baseline="zero")
    best, worst = given_.score(metric, model=model), given_.score(metric, model=model, maps=-given_.maps)
    torch.testing.assert_close(best + worst, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-9)
    assert bool((best > worst).all())


def test_infidelity_of_a_linear_model():
    """Corrected noise is shared by channels: it sees the sum of their weights. LATEC's sees each."""
    model, weights = linear()
    inputs, targets = torch.rand(3, 2, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2])
    gradient = weights[targets]
    for factor in (1.0, 37.0):
        scores = Infidelity()(model, inputs, targets, gradient * factor, generator=seeded())
        torch.testing.assert_close(scores, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-10)
    opposite = Infidelity()(model, inputs, targets, -gradient, generator=seeded())
    torch.testing.assert_close(opposite, torch.ones(3, dtype=torch.float64))
    latec = Infidelity(noise=0.005, reading="latec")
    exact = latec(model, inputs, targets, gradient, generator=seeded())
    torch.testing.assert_close(exact, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    # A map of zeros leaves the change itself, of variance noise^2 |w|^2.
    nothing = Infidelity(noise=0.005, draws=4000, reading="latec")(
        model, inputs, targets, 0 * gradient, generator=seeded()
    )
    expected = 0.005**2 * gradient.flatten(1).square().sum(dim=1).double()
    torch.testing.assert_close(nothing, expected, rtol=0.1, atol=0)


def test_infidelity_where_nothing_changes_has_no_meaning():
    given_ = linear_world()
    model = LinearProbability(torch.zeros_like(given_.inputs[0]), 0.4)
    assert bool(given_.score(Infidelity(), model=model).isnan().all())


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("distance", ["seuclidean", "sqeuclidean"])
def test_sufficiency(distance, modality):
    given_ = world(modality, samples=9)
    metric = Sufficiency(distance=distance, threshold=0.7)
    maps = given_.maps.mean(dim=1).flatten(1).abs().numpy()
    maps = maps / maps.max(axis=1, keepdims=True)
    distances = cdist(maps, maps, distance)
    with torch.no_grad():
        predicted = given_.model(given_.inputs).argmax(dim=1).tolist()
    expected = []
    for one in range(9):
        near = [two for two in range(9) if two != one and distances[one, two] <= 0.7 * distances.max()]
        expected.append(np.mean([predicted[one] == predicted[two] for two in near]) if near else 0.0)
    scores = given_.score(metric)
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-12)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(given_.score(metric, order), scores[order])


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("chunk", [1, 2, 4, 9])
def test_sufficiency_in_chunks(chunk, modality):
    """LATEC's: raw maps, whose spread and largest distance are those of the chunk beside all samples."""
    given_ = world(modality, samples=9)
    maps = given_.maps.flatten(1).numpy()
    with torch.no_grad():
        predicted = given_.model(given_.inputs).argmax(dim=1).tolist()
    expected = []
    for one in range(9):
        members = range(one // chunk * chunk, min(one // chunk * chunk + chunk, 9))
        spread = np.ones_like(maps[0]) if modality == "volume" else np.var([*maps[members], *maps], axis=0, ddof=1)
        distances = {(a, b): ((maps[a] - maps[b]) ** 2 / spread).sum() for a in members for b in range(9)}
        if modality != "volume":
            distances = {pair: value**0.5 for pair, value in distances.items()}
        near = [b for b in range(9) if b != one and distances[one, b] <= 0.7 * max(distances.values())]
        expected.append(np.mean([predicted[one] == predicted[b] for b in near]) if near else 0.0)
    distance = "sqeuclidean" if modality == "volume" else "seuclidean"
    scores = given_.score(Sufficiency(reading="latec", threshold=0.7, distance=distance, chunk=chunk))
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-12)


def test_latec_finds_no_map_similar_where_a_number_is_the_same_in_all():
    given_ = world("image", samples=6)
    given_.maps[:, 0, 0, 0] = 0.0
    assert given_.score(Sufficiency(reading="latec", threshold=1.0)).tolist() == [0.0] * 6
    assert (given_.score(Sufficiency(threshold=1.0)) > 0).any()


def test_sufficiency_of_maps_that_tell_the_class():
    given_ = world("image", samples=8)
    with torch.no_grad():
        predicted = given_.model(given_.inputs).argmax(dim=1)
    maps = torch.zeros(8, 1, 8, 8)
    maps[torch.arange(8), 0, predicted, predicted] = 1.0
    others = torch.tensor([float((predicted == each).sum() > 1) for each in predicted], dtype=torch.float64)
    assert given_.score(Sufficiency(threshold=0.1), maps=maps).tolist() == others.tolist()
    # Maps that are all the same are similar to all: the share of the others with the same class.
    share = torch.tensor([float((predicted == each).sum() - 1) / 7 for each in predicted], dtype=torch.float64)
    assert given_.score(Sufficiency(), maps=torch.ones(8, 1, 8, 8)).tolist() == pytest.approx(share.tolist())
    assert given_.score(Sufficiency(), slice(0, 1)).tolist() == [0.0]


@pytest.mark.parametrize("baseline", ["black", "zero", "mean", "uniform"])
def test_deletion_ends_at_its_baseline(baseline):
    """In one step the area is the mean of the probabilities of both ends."""
    given_ = world("image", samples=3)
    scores = given_.score(Deletion(step=64, baseline=baseline))
    inputs = given_.inputs
    low, high = inputs.amin(dim=(1, 2, 3)), inputs.amax(dim=(1, 2, 3))
    drawn = [rng.random() for rng in MapBatch(inputs, given_.targets, given_.maps, 7).generators("baseline")]
    end = {
        "black": low.view(-1, 1, 1, 1),
        "zero": torch.zeros(3, 1, 1, 1),
        "mean": inputs.mean(dim=(2, 3), keepdim=True),
        "uniform": (low + torch.tensor(drawn, dtype=torch.float64) * (high - low)).view(-1, 1, 1, 1),
    }[baseline].expand_as(inputs)
    with torch.no_grad():
        ends = [given_.model(x.double()).softmax(dim=1).gather(1, given_.targets[:, None])[:, 0] for x in (inputs, end)]
    torch.testing.assert_close(scores, (ends[0] + ends[1]) / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "forwards"),
    [
        (FaithfulnessCorrelation(runs=20), 20),
        (FaithfulnessEstimate(step=4), 16),
        (MonotonicityCorrelation(step=4, draws=3), 48),
        (PixelFlipping(step=4), 16),
        (PixelFlipping(), 32),  # 64 positions in at most 50 steps: 2 at a time
        (Insertion(), 32),
        (Deletion(), 32),
        (RegionPerturbation(patch=4), 4),
        (ROAD(percentages=(10, 50, 90)), 3),
        (Infidelity(draws=9), 9),
        (Sufficiency(), 0),
    ],
    ids=lambda value: value.id if hasattr(value, "id") else str(value),
)
def test_forwards_of_a_sample(metric, forwards):
    given_ = world("image", samples=3)
    runs = Forwards(given_.model, micro_batch=8)
    given_.score(metric, model=runs)
    assert runs.count == 3 + 3 * forwards  # the first 3 are the samples themselves


@pytest.mark.parametrize("metric", [FaithfulnessCorrelation(), Infidelity()], ids=lambda metric: metric.id)
def test_other_maps_need_no_further_forwards(metric):
    given_ = world("image", samples=3)
    runs = Forwards(given_.model)
    first = given_.score(metric, model=runs)
    count = runs.count
    other = given_.score(metric, model=runs, maps=given_.maps.flip(-1))
    assert runs.count == count
    assert bool((first != other).all())
    torch.testing.assert_close(other, given_.score(metric, maps=given_.maps.flip(-1)))


def test_latec_deletion_does_not_run_steps_that_change_nothing():
    """Equal channels: each pixel is visited three times, but changes once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3)).eval()
    inputs, targets = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    maps = torch.rand(2, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3).expand(2, 3, 8, 8)
    runs = Forwards(model, micro_batch=8)
    Deletion(step=4, reading="latec")(runs, inputs, targets, maps, generator=seeded())
    assert runs.count == 2 + 2 * 16  # 47 states of 192 / 4 steps, of which 16 differ


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        (FaithfulnessCorrelation, {"runs": 1}),
        (FaithfulnessCorrelation, {"subset": 0}),
        (FaithfulnessEstimate, {"step": 0}),
        (MonotonicityCorrelation, {"draws": 0}),
        (PixelFlipping, {"step": -1}),
        (RegionPerturbation, {"patch": 0}),
        (RegionPerturbation, {"clusters": 1}),
        (Insertion, {"kernel": 4}),
        (Insertion, {"sigma": 0.0}),
        (Deletion, {"step": 0}),
        (IROF, {"segments": 1}),
        (ROAD, {"percentages": (50,)}),
        (ROAD, {"percentages": (50, 20)}),
        (ROAD, {"percentages": (50, 100)}),
        (ROAD, {"noise": -1.0}),
        (Sufficiency, {"threshold": 1.5}),
        (Sufficiency, {"chunk": 0}),
        (Infidelity, {"draws": 1}),
    ],
)
def test_impossible_constants(kind, constants):
    with pytest.raises(ValueError, match=next(iter(constants))):
        kind(**constants)


def test_a_subset_larger_than_the_input():
    with pytest.raises(ValueError, match="cannot remove 65 of 64"):
        world("image", samples=1).score(FaithfulnessCorrelation(subset=65))


@pytest.mark.parametrize("reading", READINGS)
def test_a_patch_wider_than_the_input(reading):
    with pytest.raises(ValueError, match="a patch of width 9 does not fit into inputs of width 8"):
        world("image", samples=1).score(RegionPerturbation(patch=9, reading=reading))


def test_windows_that_fill_the_input():
    """Fewer than were asked for: the curve ends there. One state has no area."""
    given_ = world("image", samples=3)
    every = RegionPerturbation(patch=8, regions=50, reading="latec")
    whole = RegionPerturbation(patch=8, regions=1, reading="latec")
    assert given_.score(whole).tolist() == [0.0] * 3
    assert given_.score(every).isfinite().all()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 4), shape=st.lists(st.integers(4, 7), min_size=2, max_size=3))
def test_windows_are_whole_apart_and_the_best_that_are_left(seed, width, shape):
    scores = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps, count = windows(scores, width, 6)
    sums = [float(scores[steps == step].sum()) for step in range(count)]
    assert sums == sorted(sums, reverse=True)
    for step in range(count):
        places = (steps == step).nonzero()
        low, high = places.amin(dim=0), places.amax(dim=0)
        assert len(places) == int((high - low + 1).prod())  # a box, so that no later one lies in it
        assert bool(((high - low + 1 == width) | (high == torch.tensor(shape) - 1)).all())
    assert int((steps < 6).sum()) + int((steps == 6).sum()) == scores.numel()


def test_equal_windows_are_taken_in_the_order_of_memory():
    steps, count = windows(torch.zeros(1, 4, 4, dtype=torch.float64), 2, 9)
    assert count == 4
    assert steps[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("counted", ["pixels", "numbers"])
def test_what_a_percentage_of_an_image_counts(counted):
    """Of two channels: at 50 % of the numbers nothing is left, and the image becomes zeros (and noise, here 0)."""
    given_ = world("image", samples=3)
    zeros = []
    given_.model.register_forward_pre_hook(lambda model, given: zeros.append((given[0] == 0).flatten(1).all(dim=1)))
    given_.score(ROAD(percentages=(20, 50, 90), noise=0.0, counted=counted, reading="latec"))
    assert int(torch.cat(zeros).sum()) == (6 if counted == "numbers" else 0)
    torch.testing.assert_close(  # not in the corrected reading
        given_.score(ROAD(counted=counted)), given_.score(ROAD(counted="pixels")), rtol=0, atol=0
    )


def test_metrics_are_declared_without_torch():
    code = "import sys, harness.metrics.attribution; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_of_the_criterion():
    faithful = {id for id, metric in METRICS.items() if metric.criterion == "faithfulness"}
    assert faithful == {metric.id for metric in [*SINGLE, *SUFFICIENCY]}

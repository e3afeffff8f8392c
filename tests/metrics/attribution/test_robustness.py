from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.relative_stability import (
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
)
from harness.metrics.attribution.robustness import Continuity, LocalLipschitz, MaxSensitivity

from ._worlds import Gradient, World, assert_independent, linear, world

MODALITIES = ("image", "volume", "cloud")
RELATIVE = (RelativeInputStability, RelativeOutputStability, RelativeRepresentationStability)
METRICS = (
    LocalLipschitz(draws=3),
    LocalLipschitz(draws=3, reading="latec"),
    MaxSensitivity(draws=4),
    MaxSensitivity(draws=4, reading="latec"),
    Continuity(steps=6, patch=3),
    Continuity(steps=6, patch=3, reading="latec"),
    *(kind(draws=4) for kind in RELATIVE),
    *(kind(draws=4, epsilon=1e-6, reading="latec") for kind in RELATIVE),
)


def name(metric):
    return f"{metric.id}-{getattr(metric, 'reading', '')}"


def asked_anew(metric, given: World, method=None):
    """Scores, with the perturbed inputs (n, draws, ...) and their maps, as the method saw and gave them."""
    method = method or Gradient(given.model)
    scores = given.score(metric, explain=method)
    count = len(given.inputs)
    return scores, method.inputs.unflatten(0, (count, -1)).numpy(), method.maps.unflatten(0, (count, -1)).numpy()


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_a_score_depends_on_its_sample_only(metric, modality):
    assert_independent(metric, world(modality))


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("metric", METRICS, ids=name)
@pytest.mark.parametrize("value", [0.0, 3.0, -1.0])
def test_a_method_that_never_changes_its_answer_is_perfectly_robust(metric, modality, value):
    given = world(modality, samples=3)
    constant = torch.full_like(given.inputs[:, :1], value)
    scores = given.score(metric, maps=constant, explain=lambda x, y, model=None: torch.full_like(x[:, :1], value))
    torch.testing.assert_close(scores, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_neither_the_scale_of_a_map_nor_repeated_channels_matter(metric):
    given = world("image")

    def pooled(x, y, model=None):
        return given.explain(x, y).mean(dim=1, keepdim=True)

    def scaled(x, y, model=None):
        return 100 * pooled(x, y).expand(x.shape) * (1 + torch.arange(len(x)).view(-1, 1, 1, 1))

    expected = given.score(metric, maps=pooled(given.inputs, given.targets), explain=pooled)
    actual = given.score(metric, maps=scaled(given.inputs, given.targets), explain=scaled)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", [each for each in METRICS if each.id != "continuity"], ids=name)
def test_the_gradient_of_a_linear_model_is_perfectly_robust(metric):
    model, weights = linear()
    inputs, targets = torch.randn(4, 2, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    generator = torch.Generator()
    method = Gradient(model)
    if "representation" in metric.id:
        model = Forwards(model, representation="1")
    scores = metric(model, inputs, targets, weights[targets], explain=method, generator=generator)
    torch.testing.assert_close(scores, torch.zeros_like(scores).where(~scores.isnan(), scores))
    assert not scores.isnan().all()


def test_slope_of_a_map_that_is_linear_in_the_input():
    # One number of the map is 10 and stays the largest: normalised, the others are x / 10.
    def anchored(x, y, model=None):
        maps = x.clone()
        maps[:, 0, 0, 0] = 10.0
        return maps

    given = world("image")
    scores = given.score(LocalLipschitz(draws=20), maps=anchored(given.inputs, None), explain=anchored)
    assert bool((scores <= 0.1).all())
    assert bool((scores > 0.0999).all())


@pytest.mark.parametrize("modality", MODALITIES)
def test_local_lipschitz_is_its_definition(modality):
    given = world(modality)
    scores, near, maps = asked_anew(LocalLipschitz(draws=3, std=0.2), given)
    for row, score in enumerate(scores.tolist()):
        own, x = given.maps[row].numpy(), given.inputs[row].numpy()
        expected = max(
            np.sqrt(((own / np.abs(own).max() - b / np.abs(b).max()) ** 2).sum()) / np.sqrt(((x - z) ** 2).sum())
            for z, b in zip(near[row], maps[row], strict=True)
        )
        assert score == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("reading", ["corrected", "latec"])
def test_max_sensitivity_is_its_definition(reading):
    given = world("image")
    scores, _, maps = asked_anew(MaxSensitivity(draws=4, reading=reading), given)
    for row, score in enumerate(scores.tolist()):
        own = given.maps[row].numpy() / np.abs(given.maps[row].numpy()).max()
        whole = own if reading == "corrected" else given.inputs[row].numpy()
        expected = max(np.linalg.norm((own - b / np.abs(b).max()).ravel()) for b in maps[row])
        assert score == pytest.approx(expected / np.linalg.norm(whole.ravel()), rel=1e-12)


def test_noise_is_what_the_constants_say():
    given = dataclasses.replace(world("image", samples=40), maps=torch.ones(40, 1, 8, 8))
    own = given.inputs[:, None].numpy()

    def noise_of(metric):
        return asked_anew(metric, given)[1] - own

    gaussian = noise_of(LocalLipschitz(draws=5, std=0.3))
    assert gaussian.std() == pytest.approx(0.3, rel=0.02)
    uniform = noise_of(MaxSensitivity(draws=5, radius=0.3))
    assert np.abs(uniform).max() <= 0.3
    assert uniform.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.02)
    assert abs(uniform.mean()) < 0.01
    signed = noise_of(RelativeInputStability(draws=5, lower=0.1, upper=0.3))
    assert 0.1 <= np.abs(signed).min() <= np.abs(signed).max() <= 0.3 + 1e-12
    assert np.abs(signed).mean() == pytest.approx(0.2, rel=0.02)
    assert (signed > 0).mean() == pytest.approx(0.5, abs=0.02)
    positive = noise_of(RelativeInputStability(draws=5, lower=0.1, upper=0.3, reading="latec"))
    others = positive.reshape(40, 5, -1)[..., 1:]
    assert others.min() >= 0.1 - 1e-12
    assert others.max() <= 0.3 + 1e-12
    assert len({round(float(value), 12) for value in gaussian[:, :, 0, 0, 0].ravel()}) == 200


def relative_change(own, other, epsilon, reading):
    total = 0.0
    for a, b in zip(own.ravel(), other.ravel(), strict=True):
        divisor = max(abs(a), epsilon) if reading == "corrected" else a or epsilon
        total += ((a - b) / divisor) ** 2
    return np.sqrt(total)


def relative_stability(given: World, row, near, maps, other_change, epsilon, reading):
    def unit(a):
        return a / np.sqrt((a**2).mean())

    predicted = int(given.model(given.inputs[row : row + 1]).argmax())
    ratios = []
    for x, a in zip(near, maps, strict=True):
        if reading == "corrected" and int(given.model(torch.from_numpy(x)[None]).argmax()) != predicted:
            continue
        change = relative_change(unit(given.maps[row].numpy()), unit(a), epsilon, reading)
        below = other_change(given.inputs[row].numpy(), x)
        ratios.append(change / (max(below, epsilon) if reading == "corrected" else below or epsilon))
    return max(ratios, default=np.nan)


@pytest.mark.parametrize("reading", ["corrected", "latec"])
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("kind", RELATIVE)
def test_relative_stability_is_its_definition(kind, modality, reading):
    epsilon = 1e-3
    given = world(modality)
    given.inputs[:, :, :2] = 0.0  # exact zeros are divided by
    given = dataclasses.replace(given, maps=given.explain(given.inputs, given.targets))
    metric = kind(draws=4, epsilon=epsilon, upper=0.9, reading=reading)
    scores, near, maps = asked_anew(metric, given)

    def run(x, inner=False):
        with torch.no_grad():
            return (given.model[:-1] if inner else given.model)(torch.from_numpy(x)[None])[0].numpy()

    changes = {
        RelativeInputStability: lambda x, z: relative_change(x, z, epsilon, reading),
        RelativeOutputStability: lambda x, z: np.linalg.norm(run(x) - run(z)),
        RelativeRepresentationStability: lambda x, z: relative_change(run(x, True), run(z, True), epsilon, reading),
    }
    expected = [
        relative_stability(given, row, near[row], maps[row], changes[kind], epsilon, reading) for row in range(5)
    ]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-9)


class Flips(nn.Module):
    """Class 0 for inputs that are zero everywhere, class 1 for all others."""

    def forward(self, x):
        size = x.flatten(1).abs().sum(dim=1)
        return torch.stack([torch.full_like(size, 1e-3), size], dim=1)


@pytest.mark.parametrize("kind", [RelativeInputStability, RelativeOutputStability])
def test_perturbations_that_change_the_prediction_do_not_count(kind):
    inputs, targets = torch.zeros(1, 1, 3, 3, dtype=torch.float64), torch.tensor([0])
    given = {"explain": lambda x, y, model=None: x + 1, "generator": torch.Generator()}
    assert kind()(Flips().eval(), inputs, targets, inputs + 1, **given).isnan().all()
    assert kind(reading="latec")(Flips().eval(), inputs, targets, inputs + 1, **given).isfinite().all()


def moved(x: np.ndarray, metric: Continuity) -> Iterator[np.ndarray]:
    """The corrected moves, written with loops."""
    half = metric.steps // 2
    for move in [*range(-half, 0), *range(1, half + 1)]:
        if x.ndim == 2:
            out = x.copy()
            out[0] += metric.offset * move
        else:
            out = np.full_like(x, x.min())
            for column in range(x.shape[-1]):
                if 0 <= column + move < x.shape[-1]:
                    out[..., column + move] = x[..., column]
        yield out


def patches_of(shape, width):
    for corner in np.ndindex(*[-(-size // width) for size in shape]):
        yield (slice(None), *(slice(width * c, width * (c + 1)) for c in corner))


def continuity(given: World, row, near, maps, metric):
    latec = metric.reading == "latec"
    with torch.no_grad():
        logits = given.model(torch.from_numpy(near))
        said = (logits if latec else logits.softmax(dim=1))[:, int(given.targets[row])].numpy()
    patches = list(patches_of(near.shape[2:], metric.patch))
    if latec and near.ndim == 3:
        patches = [(slice(None), slice(point, point + 1)) for point in range(0, near.shape[2], metric.patch)]
    scores = []
    for patch in patches:
        sums = [attribution(np.abs(a), patch, latec) for a in maps]
        scores.append(spearmanr(sums, said).statistic if len(set(sums)) > 1 else 0.0)
    return np.mean(scores)


def attribution(a, patch, latec):
    """Of a patch of |map|. A cloud with all points at the origin has a map of zeros."""
    if not a.any():
        return 0.0 if latec else np.ones_like(a)[patch].sum()
    part = (a / a.max())[patch]
    return (part / (part.max() or 1.0) if latec else part).sum()


@pytest.mark.parametrize("reading", ["corrected", "latec"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_continuity_is_its_definition(modality, reading):
    given, metric = world(modality), Continuity(steps=6, patch=3, reading=reading)
    scores, near, maps = asked_anew(metric, given, Gradient(given.model, times_input=True))
    expected = [continuity(given, row, near[row], maps[row], metric) for row in range(5)]
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-12)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("modality", MODALITIES)
def test_continuity_moves_by_small_steps_both_ways(modality):
    given, metric = world(modality), Continuity(steps=6)
    _, near, _ = asked_anew(metric, given)
    for row, x in enumerate(given.inputs.numpy()):
        np.testing.assert_allclose(near[row], list(moved(x, metric)), atol=1e-15)


def test_latec_moves_far_to_the_right():
    given = world("image", samples=2)
    _, near, _ = asked_anew(Continuity(steps=16, reading="latec"), given)  # 4 pixels a step: 64 / 16
    np.testing.assert_array_equal(near[:, 0, :, :, 4:], given.inputs[..., :4].numpy())
    borders = near[:, 0, :, :, :4].reshape(2, 2, -1)
    assert np.ptp(borders, axis=2).max() == 0.0
    for step in range(1, 16):
        assert np.ptp(near[:, step].reshape(2, 2, -1), axis=2).max() == 0.0  # nothing is left of the image
    assert 0 <= near[:, 1:].min() <= near[:, 1:].max() <= 1


def test_latec_moves_each_slice_of_a_volume_in_with_a_number_of_its_own():
    given = world("volume", samples=2)
    _, near, _ = asked_anew(Continuity(steps=4, patch=3, reading="latec"), given)  # 54 voxels a step: nothing is left
    assert np.ptp(near.reshape(2, 4, 6, -1), axis=3).max() == 0.0
    assert len(np.unique(near)) == 2 * 4 * 6


@pytest.mark.parametrize("kind", [LocalLipschitz, MaxSensitivity, *RELATIVE])
@pytest.mark.parametrize("modality", MODALITIES)
def test_latec_leaves_the_first_number_as_it_is(modality, kind):
    given = world(modality, samples=2)
    for reading in ("corrected", "latec"):
        _, near, _ = asked_anew(kind(draws=3, reading=reading), given)
        noise = (near - given.inputs[:, None].numpy()).reshape(2, 3, -1)
        assert (noise[..., 0] == 0).all() == (reading == "latec")
        assert (noise[..., 1:] != 0).all()


def test_latec_moves_points_beyond_the_cube_to_the_origin():
    given = world("cloud", samples=2)
    given.inputs[0, 2, :3] = 1.5
    _, near, _ = asked_anew(Continuity(steps=4, reading="latec"), given)
    for row in range(2):
        for step in range(4):
            for point in range(17):
                x, y, z = given.inputs[row, :, point].tolist()
                x += 0.5 * (step + 1)
                expected = [x, y, z] if max(abs(x), abs(y), abs(z)) <= 1 else [0.0, 0.0, 0.0]
                np.testing.assert_allclose(near[row, step, :, point], expected, atol=1e-15)


@pytest.mark.parametrize("sign", [1, -1])
def test_attribution_that_follows_the_probability(sign):
    given = world("image")

    def following(x, y, model=None):
        probability = given.model(x).softmax(dim=1).gather(1, y[:, None]).detach()
        share = (probability if sign > 0 else 1 - probability).view(-1, 1, 1, 1)
        maps = share.repeat(1, 1, 8, 8)
        maps[:, :, 0, 0] = 1.0  # always the largest
        return maps

    scores = given.score(Continuity(steps=8, patch=8), maps=following(given.inputs, given.targets), explain=following)
    torch.testing.assert_close(scores, torch.full((5,), float(sign), dtype=torch.float64))


@pytest.mark.parametrize("metric", [*METRICS, MaxSensitivity(draws=70)], ids=name)
def test_the_method_is_asked_in_bounded_calls(metric):
    given = world("image", samples=30)
    method = Gradient(given.model)
    given.score(metric, explain=method)
    draws = getattr(metric, "draws", None) or metric.steps
    for inputs, _ in method.calls:
        assert len(inputs) <= max(64, draws)
        assert len(inputs) % draws == 0
    assert len(method.inputs) == 30 * draws


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        (LocalLipschitz, {"draws": 0}),
        (LocalLipschitz, {"std": 0.0}),
        (MaxSensitivity, {"radius": -1.0}),
        (Continuity, {"steps": 5}),
        (Continuity, {"patch": 0}),
        (RelativeInputStability, {"lower": 0.3, "upper": 0.2}),
        (RelativeOutputStability, {"epsilon": 0.0}),
    ],
)
def test_impossible_constants(kind, constants):
    with pytest.raises(ValueError, match=r"\.$"):
        kind(**constants)


@pytest.mark.parametrize("reading", ["corrected", "latec"])
def test_a_patch_wider_than_the_image(reading):
    with pytest.raises(ValueError, match="a patch of width 9 does not fit into inputs of width 8"):
        world("image").score(Continuity(steps=4, patch=9, reading=reading))


def test_moves_that_leave_the_image():
    with pytest.raises(ValueError, match="width 8"):
        world("image").score(Continuity(steps=16))


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_without_a_method_to_ask(metric):
    with pytest.raises(ValueError, match="explain="):
        world("image").score(metric, explain=None)

"""Against Quantus, one sample a call: it normalises over all samples of a call, which the harness never does."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from harness.metrics.attribution.complexity import Complexity, EffectiveComplexity, Sparseness
from harness.metrics.attribution.localisation import PointingGame, RelevanceMass, RelevanceRank
from harness.metrics.attribution.relative_stability import (
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
)
from harness.metrics.attribution.robustness import LocalLipschitz, MaxSensitivity

from ._worlds import Gradient, World, world

quantus = pytest.importorskip("quantus")


def theirs(metric, given: World, explain=None, **more) -> np.ndarray:
    """Scores of a Quantus metric, each sample in a call of its own."""
    scores = []
    for row in range(len(given.inputs)):
        one = slice(row, row + 1)
        extra = {key: value(row) if callable(value) else value[one].numpy() for key, value in more.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = metric(
                model=given.model,
                x_batch=given.inputs[one].numpy(),
                y_batch=given.targets[one].numpy(),
                a_batch=given.maps[one].numpy(),
                channel_first=True,
                explain_func=explain or (lambda model, inputs, targets, **_: np.asarray(inputs)),
                **extra,
            )
        scores.append(np.asarray(result, dtype=float).ravel()[0])
    return np.array(scores)


class InDouble(nn.Module):
    """Quantus turns all inputs to single precision; this computes in double all the same."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.double())


def positive(modality: str = "image") -> World:
    """Maps of one channel without negative values, on which all readings agree."""
    given = world(modality)
    maps = given.maps.abs().mean(dim=1, keepdim=True)
    return World(given.model, given.inputs, given.targets, maps, given.masks, given.explain)


OPTIONS = {"disable_warnings": True, "return_aggregate": False, "display_progressbar": False}


@pytest.mark.parametrize("modality", ["image", "volume", "cloud"])
@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (Sparseness(), "Sparseness", {}),
        (Complexity(), "Complexity", {}),
        (EffectiveComplexity(epsilon=0.3), "EffectiveComplexity", {"eps": 0.3}),
    ],
)
def test_complexity(ours, name, options, modality):
    given = positive(modality)
    expected = theirs(getattr(quantus, name)(abs=True, normalise=True, **options, **OPTIONS), given)
    np.testing.assert_allclose(given.score(ours).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (RelevanceMass(), "RelevanceMassAccuracy"),
        (RelevanceRank(), "RelevanceRankAccuracy"),
        (PointingGame(), "PointingGame"),
    ],
)
def test_localisation(ours, name):
    given = positive()
    expected = theirs(getattr(quantus, name)(abs=False, normalise=True, **OPTIONS), given, s_batch=given.masks)
    assert len(set(expected)) > 1
    np.testing.assert_allclose(given.score(ours).numpy(), expected, atol=1e-6)


class Replay:
    """A Quantus perturbation that hands out, one by one, the inputs that the harness asked about."""

    def __init__(self, near: torch.Tensor) -> None:
        self._near = iter(near.flatten(1).numpy())

    def __call__(self, arr: np.ndarray, **options: object) -> np.ndarray:
        return next(self._near)[None].astype(arr.dtype)


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (MaxSensitivity(draws=4), "MaxSensitivity", {"nr_samples": 4, "normalise": True}),
        (LocalLipschitz(draws=4), "LocalLipschitzEstimate", {"nr_samples": 4, "normalise": True}),
        (
            RelativeInputStability(draws=4, epsilon=1e-6, reading="latec"),
            "RelativeInputStability",
            {"nr_samples": 4, "normalise": True, "return_nan_when_prediction_changes": False},
        ),
        (
            RelativeOutputStability(draws=4, epsilon=1e-6, reading="latec"),
            "RelativeOutputStability",
            {"nr_samples": 4, "normalise": True, "return_nan_when_prediction_changes": False},
        ),
        (
            RelativeRepresentationStability(draws=4, epsilon=1e-6, reading="latec"),
            "RelativeRepresentationStability",
            {
                "nr_samples": 4,
                "normalise": True,
                "return_nan_when_prediction_changes": False,
                "layer_names": ["model.5"],  # what the linear layer gets
            },
        ),
    ],
)
def test_robustness_under_the_same_noise(ours, name, options):
    given = world("image")
    model, inputs = InDouble(given.model).eval(), given.inputs.float()
    explained = Gradient(model)
    given = dataclasses.replace(
        given, model=model, inputs=inputs, maps=explained(inputs, given.targets), explain=explained
    )
    method = Gradient(model)
    actual = given.score(ours, explain=method)

    def explain(model, inputs, targets, **_):
        return given.explain(torch.as_tensor(inputs), torch.as_tensor(targets)).numpy()

    perturb = Replay(method.inputs)
    metric = getattr(quantus, name)(perturb_func=perturb, abs=False, **options, **OPTIONS)
    more = {"softmax": lambda row: False} if "Output" in name else {}
    np.testing.assert_allclose(actual.numpy(), theirs(metric, given, explain, **more), rtol=1e-6)

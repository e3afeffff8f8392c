"""Against Quantus, one sample a call: it normalises over all samples of a call, which the harness never does.

Its readings are LATEC's: numbers are ranked, areas are not divided. Maps have no ties.
"""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from harness.metrics.attribution.faithful_agreement import Sufficiency
from harness.metrics.attribution.faithful_correlation import (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
)
from harness.metrics.attribution.faithful_regions import IROF, RegionPerturbation
from harness.metrics.attribution.faithful_removal import PixelFlipping

from ._worlds import World, world

quantus = pytest.importorskip("quantus")

STEPS = [("image", 4), ("image", 8), ("volume", 6), ("volume", 8), ("cloud", 1), ("cloud", 17)]
SILENT = {"disable_warnings": True, "display_progressbar": False}


class InDouble(nn.Module):
    """Quantus turns all inputs to single precision; this computes in double all the same."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.double())


@pytest.fixture(autouse=True)
def trapz(monkeypatch):
    """Quantus calls a function that NumPy 2.4 no longer has."""
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)


def exact(modality: str = "image", channels: slice = slice(None), samples: int = 3) -> World:
    """Inputs that single precision holds exactly."""
    given = world(modality, samples=samples)
    inputs = given.inputs.float().double()
    model = given.model
    if channels != slice(None):
        inputs, model = inputs[:, channels], OneChannel(model)
    return dataclasses.replace(given, model=model.eval(), inputs=inputs, maps=given.maps[:, channels])


class OneChannel(nn.Module):
    """A model of two equal channels, as one of a single channel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.expand(-1, 2, *x.shape[2:]))


def theirs(metric, given: World, rows, softmax: bool = True) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=InDouble(given.model).eval(),
            x_batch=given.inputs[rows].numpy(),
            y_batch=given.targets[rows].numpy(),
            a_batch=given.maps[rows].numpy(),
            channel_first=True,
            softmax=softmax,
        )


def one_by_one(metric, given: World, softmax: bool = True) -> np.ndarray:
    return np.array([np.ravel(theirs(metric, given, slice(row, row + 1), softmax)) for row in range(len(given.inputs))])


def agrees(ours: torch.Tensor, expected: np.ndarray) -> None:
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("modality", "step"), STEPS)
def test_faithfulness_estimate(modality, step):
    given = exact(modality)
    metric = quantus.FaithfulnessEstimate(
        features_in_step=step, similarity_func=quantus.similarity_func.correlation_pearson, **SILENT
    )
    ours = given.score(FaithfulnessEstimate(step=step, reading="latec"))
    agrees(ours, one_by_one(metric, given, softmax=False)[:, 0])


@pytest.mark.parametrize(("modality", "step"), STEPS)
def test_pixel_flipping(modality, step):
    given = exact(modality)
    metric = quantus.PixelFlipping(features_in_step=step, return_auc_per_sample=True, **SILENT)
    agrees(given.score(PixelFlipping(step=step, reading="latec")), one_by_one(metric, given)[:, 0])


def test_pixel_flipping_of_one_channel_in_both_readings():
    """With steps of equal size the corrected reading adds the whole input and divides by the steps."""
    given = exact(channels=slice(0, 1))
    area = one_by_one(quantus.PixelFlipping(features_in_step=4, return_auc_per_sample=True, **SILENT), given)[:, 0]
    curve = one_by_one(quantus.PixelFlipping(features_in_step=4, **SILENT), given)
    with torch.no_grad():
        whole = given.model(given.inputs).softmax(dim=1).gather(1, given.targets[:, None])[:, 0].numpy()
    agrees(given.score(PixelFlipping(step=4)), (area + (whole + curve[:, 0]) / 2) / 16)


@pytest.mark.parametrize(("patch", "regions"), [(2, 16), (4, 3)])
def test_region_perturbation(patch, regions):
    """Quantus 0.6 has a grid of patches, as the corrected reading; LATEC's fork has windows."""
    given = exact()
    metric = quantus.RegionPerturbation(
        patch_size=patch, regions_evaluation=regions, perturb_baseline="black", **SILENT
    )
    drops = one_by_one(metric, given)
    padded = np.concatenate([np.zeros((len(drops), 1)), drops], axis=1)
    ours = RegionPerturbation(patch=patch, regions=regions, baseline="black")
    agrees(given.score(ours), np.trapezoid(padded, axis=1) / regions)


def test_irof_of_one_channel():
    """With the baseline "mean", Quantus takes the mean of what the removals before have left."""
    given = exact(channels=slice(0, 1))
    expected = one_by_one(quantus.IROF(perturb_baseline="black", **SILENT), given)[:, 0]
    agrees(given.score(IROF(segments=100, baseline="black", reading="latec")), expected)


def test_sufficiency():
    given = exact(samples=10)
    maps = given.maps.mean(dim=1, keepdim=True).abs()
    given = dataclasses.replace(given, maps=maps / maps.flatten(1).amax(dim=1).view(-1, 1, 1, 1))
    metric = quantus.Sufficiency(threshold=0.7, normalise=False, **SILENT)
    ours = given.score(Sufficiency(threshold=0.7))
    agrees(ours, np.array(theirs(metric, given, slice(None))))


def test_faithfulness_correlation_on_the_same_subsets(monkeypatch):
    """Quantus draws from NumPy's global state; it is handed the subsets that the sample's own stream draws."""
    from harness.metrics.attribution.map_batch import MapBatch

    given, numbers = exact(), math.prod(exact().inputs.shape[1:])
    streams = MapBatch(given.inputs, given.targets, given.maps, 7).generators("faithfulness_correlation")
    metric = quantus.FaithfulnessCorrelation(nr_runs=20, subset_size=9, **SILENT)
    expected = []
    for row, stream in enumerate(streams):
        monkeypatch.setattr(
            np.random,
            "choice",
            lambda *args, stream=stream, **kwargs: stream.choice(numbers, 9, replace=False, shuffle=False),
        )
        expected.append(np.ravel(theirs(metric, given, slice(row, row + 1), softmax=False))[0])
    agrees(given.score(FaithfulnessCorrelation(subset=9, runs=20, reading="latec")), np.array(expected))

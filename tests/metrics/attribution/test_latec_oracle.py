"""LATEC's reading of every metric against the values of LATEC's own code, on the same networks, maps and draws."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tests.oracles
from harness.metrics.attribution import _segments, make_metric
from harness.metrics.attribution._segments import superpixels
from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.map_batch import MapBatch
from tests.oracles import oracle

ABOUT = oracle("latec_metrics")
METHODS = ("saliency", "input_x_gradient")
MODALITIES = ("image", "volume", "point_cloud")

# The oracle's metric -> ours, and LATEC's names of constants -> ours.
OURS = {
    "faithfulnesscorrelation": "faithfulness_correlation",
    "faithfulnessestimate": "faithfulness_estimate",
    "monotonicitycorrelation": "monotonicity_correlation",
    "pixelflipping": "pixel_flipping",
    "regionperturbation": "region_perturbation",
    "regionperturbation_uniform": "region_perturbation",
    "insertion": "insertion",
    "deletion": "deletion",
    "irof": "irof",
    "road": "road",
    "road_a_size_hw": "road",
    "sufficiency": "sufficiency",
    "sufficiency_chunks_of_2": "sufficiency",
    "sufficiency_one_chunk_of_8": "sufficiency",
    "infidelity": "infidelity",
    "locallipschitzestimate": "local_lipschitz",
    "maxsensitivity": "max_sensitivity",
    "continuity": "continuity",
    "relativeinputstability": "relative_input_stability",
    "relativeoutputstability": "relative_output_stability",
    "relativerepresentationstability": "relative_representation_stability",
    "sparseness": "sparseness",
    "complexity": "complexity",
    "effectivecomplexity": "effective_complexity",
}
CONSTANTS = {
    "nr_runs": "runs",
    "subset_size": "subset",
    "perturb_baseline": "baseline",
    "features_in_step": "step",
    "pixel_batch_size": "step",
    "patch_size": "patch",
    "regions_evaluation": "regions",
    "n_perturb_samples": "draws",
    "nr_samples": "draws",
    "perturb_std": "std",
    "lower_bound": "radius",
    "nr_steps": "steps",
    "kernel_size": "kernel",
    "eps": "epsilon",
    "noise": "noise",
    "sigma": "sigma",
}
ALSO = {
    "regionperturbation_uniform": {"baseline": "uniform"},
    "road": {"counted": "numbers"},
    "sufficiency": {"chunk": 1},
    "sufficiency_one_chunk_of_8": {"chunk": 8},
}
ROUNDING = {
    "infidelity": 1e-3,  # see the oracle's "tolerance"
    "relativerepresentationstability": 1e-3,
    "irof": 2e-5,  # an area of about 60, in single precision, is taken from as many segments
}


@cache
def arrays() -> dict[str, np.ndarray]:
    with np.load(Path(tests.oracles.__file__).with_name("latec_metrics.npz")) as stored:
        return dict(stored)


def array(*path: str) -> np.ndarray:
    return arrays()["/".join(path)]


def samples(modality: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets. In double precision, so that only the rounding of the stored values is left."""
    return torch.from_numpy(array(modality, "inputs")).double(), torch.from_numpy(array(modality, "targets"))


def built(modality: str) -> nn.Module:
    convolution, pool, channels, size = {
        "image": (nn.Conv2d, nn.AvgPool2d(2), (3, 8, 12), 3),
        "volume": (nn.Conv3d, nn.AvgPool3d(2), (1, 6, 8), 3),
        "point_cloud": (nn.Conv1d, nn.AdaptiveAvgPool1d(1), (3, 12, 24), 1),
    }[modality]
    first, second = (
        convolution(*channels[:2], size, padding=size // 2),
        convolution(*channels[1:], size, padding=size // 2),
    )
    between = [] if modality == "point_cloud" else [pool]
    widths = {"image": 192, "volume": 64, "point_cloud": 24}
    net = nn.Sequential(
        first, nn.Tanh(), *between, second, nn.Tanh(), pool, nn.Flatten(), nn.Linear(widths[modality], 5)
    )
    prefix = f"{modality}/net/"
    net.load_state_dict(
        {
            name.removeprefix(prefix): torch.from_numpy(each)
            for name, each in arrays().items()
            if name.startswith(prefix)
        }
    )
    return net.double().eval()


class Explainer:
    """The maps that the oracle's methods give: gradients, or input times gradient, without their sign."""

    def __init__(self, model: nn.Module, method: str) -> None:
        self._model, self._method = model, method

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor, *, model: nn.Module | None = None) -> torch.Tensor:
        x = inputs.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._model(x).gather(1, targets[:, None]).sum(), x)
        return (gradient if self._method == "saliency" else gradient * x.detach()).abs()


class Stream:
    """A NumPy generator that hands out stored draws, from the first on."""

    def __init__(self, drawn: np.ndarray) -> None:
        self._drawn, self._read = drawn, 0

    def _next(self, size: Any) -> np.ndarray:
        start, self._read = self._read, self._read + int(np.prod(size))
        assert self._read <= len(self._drawn)
        return self._drawn[start : self._read].reshape(size)

    def random(self, size: Any) -> np.ndarray:
        return self._next(size).astype(np.float64)

    def uniform(self, low: float, high: float, size: Any) -> np.ndarray:
        return low + (high - low) * self.random(size)

    def normal(self, loc: float, scale: float, size: Any) -> np.ndarray:
        return loc + scale * self._next(size).astype(np.float64)

    def standard_normal(self, size: Any, dtype: str) -> np.ndarray:
        return self._next(size).astype(dtype)

    def choice(self, count: int, size: int, replace: bool, shuffle: bool) -> np.ndarray:
        return self._next(size)


def given(monkeypatch: pytest.MonkeyPatch, modality: str, method: str, name: str) -> None:
    """Let the samples draw what LATEC drew, and find the segments that it found."""
    group = ABOUT["modalities"][modality]["draws_of"].get(name)
    if group is not None:
        drawn = array(modality, "draws", group)
        monkeypatch.setattr(MapBatch, "generators", lambda samples, purpose: [Stream(row) for row in drawn])
    if name == "irof":
        found = array(modality, "segments", method) if modality == "point_cloud" else array(modality, "segments")
        shape = arrays()[f"{modality}/inputs"].shape
        whole = found if modality != "volume" else np.broadcast_to(found[:, None], (len(found), *shape[2:]))
        segments = torch.from_numpy(np.ascontiguousarray(whole).reshape(len(found), -1))
        monkeypatch.setattr(_segments, "superpixels", lambda *args: segments)


def constants_of(modality: str, method: str, name: str) -> dict[str, Any]:
    """LATEC's constants under our names."""
    about = ABOUT["modalities"][modality]
    latecs = about["constants"].get(name) or about["constants"].get(name.split("_")[0], {})
    constants = {CONSTANTS[key]: value for key, value in latecs.items() if key in CONSTANTS}
    id = OURS[name]
    if id in ("monotonicity_correlation", "continuity"):
        del constants["baseline"]  # "uniform", the one that they have here
    if id == "insertion" and modality != "image":
        constants = {"step": constants["step"], "noise": constants["sigma"]}
    if id == "sufficiency":
        constants["threshold"] = about["sufficiency_threshold"][method]
    return {**constants, **ALSO.get(name, {})}


def cases() -> list[tuple[str, str, str]]:
    return [
        (modality, method, name)
        for modality in MODALITIES
        for method in METHODS
        for name in OURS
        if f"{modality}/values/{method}/{name}" in arrays()
        and (modality, method, name) != ("point_cloud", "saliency", "continuity")  # rounding decides its ranks
    ]


def scores(modality: str, method: str, name: str) -> np.ndarray:
    model = built(modality)
    inputs, targets = samples(modality)
    layer = ABOUT["modalities"][modality]["layer_for_relative_representation_stability"]
    metric = make_metric(OURS[name], constants_of(modality, method, name), reading="latec")
    return metric(
        Forwards(model, representation=layer),
        inputs,
        targets,
        torch.from_numpy(array(modality, "maps", method)),
        explain=Explainer(model, method),
        generator=torch.Generator().manual_seed(0),
    ).numpy()


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_networks_are_the_oracles(modality: str) -> None:
    inputs, targets = samples(modality)
    with torch.no_grad():
        np.testing.assert_allclose(built(modality)(inputs).numpy(), array(modality, "logits"), atol=1e-6)
    for method in METHODS:
        maps = Explainer(built(modality), method)(inputs, targets).numpy()
        np.testing.assert_allclose(maps, array(modality, "maps", method), atol=1e-6)


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_superpixels_are_latecs(modality: str) -> None:
    inputs, targets = samples(modality)
    found = superpixels(MapBatch(inputs, targets, inputs, 0), 100, 16, "latec").numpy()
    expected = array(modality, "segments").reshape(len(inputs), -1)
    np.testing.assert_array_equal(found[:, : expected.shape[1]], expected)


@pytest.mark.parametrize(("modality", "method", "name"), cases())
def test_value_of_each_sample(monkeypatch: pytest.MonkeyPatch, modality: str, method: str, name: str) -> None:
    given(monkeypatch, modality, method, name)
    expected, close = array(modality, "values", method, name), ROUNDING.get(name, 1e-5)
    found = scores(modality, method, name)
    np.testing.assert_array_less(np.abs(found - expected), close * np.maximum(np.abs(expected), 0.1))


def test_every_value_of_the_oracle_is_compared() -> None:
    stored = {key.split("/")[3] for key in arrays() if "/values/" in key}
    assert {name for _, _, name in cases()} == stored == set(OURS)

"""The constants of LATEC's metrics: what its configurations hold, by modality where that decides.

Where its data sets of one modality differ, those of ImageNet, AdrenalMNIST3D and CoMA stand here; the protocol
`attribution-latec` names those of all nine. Klein et al. 2024, Navigating the Maze of Explainable AI (LATEC).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class _Each(NamedTuple):
    """A constant of images, volumes and point clouds."""

    image: Any
    volume: Any
    point_cloud: Any


_STEP = _Each(224, 56, 32)
_RELATIVE = {"draws": 10, "lower": 0.02, "upper": 0.2, "epsilon": 1e-6}

_CONSTANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "faithfulness_correlation": {"subset": _STEP, "runs": 100, "baseline": "black"},
        "faithfulness_estimate": {"step": _STEP, "baseline": "black"},
        "monotonicity_correlation": {"step": _Each(3136, 392, 256), "draws": 10},
        "pixel_flipping": {"step": _STEP, "baseline": "black"},
        "region_perturbation": {"patch": _Each(14, 4, 3), "regions": _Each(10, 20, 32), "baseline": "uniform"},
        "insertion": {"step": 50, "sigma": 5.0, "kernel": 15, "noise": _Each(0.1, 2.5, 0.05)},  # images have no noise
        "deletion": {"step": 50, "baseline": "zero"},
        "irof": {"segments": 100, "clusters": 16, "baseline": _Each("mean", "black", "black")},
        "road": {"percentages": tuple(range(1, 100, 2)), "noise": _Each(0.1, 4.0, 0.02), "counted": "pixels"},
        "sufficiency": {
            "threshold": _Each(0.9, 0.02, 0.75),
            "distance": _Each("seuclidean", "sqeuclidean", "seuclidean"),
            "chunk": 2,
        },
        "infidelity": {"draws": 50, "noise": 0.005},
        "local_lipschitz": {"draws": _Each(5, 10, 5), "std": _Each(0.1, 0.2, 0.1)},
        "max_sensitivity": {"draws": 10, "radius": 0.2},
        "continuity": {"steps": 20, "patch": _Each(56, 7, 3)},
        "relative_input_stability": _RELATIVE,
        "relative_output_stability": _RELATIVE,
        "relative_representation_stability": {**_RELATIVE, "lower": 0.0, "upper": 0.05},
        "sparseness": {},
        "complexity": {},
        "effective_complexity": {"epsilon": _Each(0.01, 0.001, 0.001)},
    }
)


def latec_constants(id: str, dimensions: int = 2) -> dict[str, Any]:
    """LATEC's constants of a metric, for inputs of so many dimensions in space: 1 are points, 3 volumes, else images."""
    place = {1: 2, 3: 1}.get(dimensions, 0)
    return {name: each[place] if isinstance(each, _Each) else each for name, each in _CONSTANTS[id].items()}


def of_modality(id: str) -> frozenset[str]:
    """The constants of a metric that depend on the modality."""
    return frozenset(name for name, each in _CONSTANTS[id].items() if isinstance(each, _Each))

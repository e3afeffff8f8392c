"""The harness's own metrics with the constants that `attribution-mnist` gives them, by modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

_STEPS = {"image": 28, "volume": 128, "point-cloud": 8}
_WIDE_STEPS = {"image": 56, "volume": 256, "point-cloud": 16}
_NOISE = {"image": 0.1, "volume": 0.1, "point-cloud": 0.02}
_IMPUTED_NOISE = {"image": 0.1, "volume": 0.1, "point-cloud": 0.2}
_PERCENTAGES = tuple(range(2, 100, 4))

# Constants by modality; a value that is no dictionary holds for all of them.
_CONSTANTS: dict[str, dict[str, Any]] = {
    "faithfulness_correlation": {
        "runs": 100,
        "baseline": "black",
        "subset": {"image": 28, "volume": 56, "point-cloud": 16},
    },
    "faithfulness_estimate": {"baseline": "black", "step": _STEPS},
    "monotonicity_correlation": {"draws": 10, "step": _WIDE_STEPS},
    "pixel_flipping": {"baseline": "black", "step": _STEPS},
    "region_perturbation": {
        "baseline": "uniform",
        "patch": 4,
        "clusters": 16,
        "regions": {"image": 10, "volume": 20, "point-cloud": 10},
    },
    "insertion": {
        "step": _STEPS,
        "sigma": 2.5,
        "kernel": {"image": 9, "volume": 7, "point-cloud": 7},
        "noise": 0.2,
    },
    "deletion": {"step": _STEPS, "baseline": {"image": "mean", "volume": "mean", "point-cloud": "zero"}},
    "irof": {
        "segments": 50,
        "clusters": 16,
        "baseline": {"image": "mean", "volume": "black", "point-cloud": "zero"},
    },
    "road": {"percentages": _PERCENTAGES, "noise": _IMPUTED_NOISE},
    "infidelity": {"draws": 50, "noise": _NOISE},
    "effective_complexity": {"epsilon": 0.01},
}


def scored(
    metric: str,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    maps: Tensor,
    context: Context,
    reading: str = "corrected",
) -> Tensor:
    """Scores (n,) of maps by a metric of `harness.metrics.attribution`, in a reading of its definition."""
    constants = {
        name: value[context.modality] if isinstance(value, dict) else value
        for name, value in _CONSTANTS.get(metric, {}).items()
    }
    return context.metric(metric, **constants, reading=reading)(model, inputs, targets, maps)

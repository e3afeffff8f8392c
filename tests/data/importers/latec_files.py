"""Files in the form in which LATEC releases scores and maps, with values that every metric can have."""

import numpy as np

METHODS = {"image": (14, 14, 17), "volume": (14, 14, 17), "point-cloud": (11, 11, 14)}
SHAPES = {"image": (3, 6, 6), "volume": (1, 4, 4, 4), "point-cloud": (3, 16)}

# By the published order: what a network of LATEC's gives in its own units.
PUBLISHED = (
    *("faithfulness_correlation", "faithfulness_estimate", "monotonicity_correlation", "pixel_flipping"),
    *("region_perturbation", "insertion", "deletion", "irof", "road", "sufficiency", "local_lipschitz"),
    *("max_sensitivity", "continuity", "relative_input_stability", "relative_output_stability"),
    *("relative_representation_stability", "infidelity", "sparseness", "complexity", "effective_complexity"),
)
CONFIG = (*PUBLISHED[:10], "infidelity", *PUBLISHED[10:16], *PUBLISHED[17:])


def draw(name, rng, size):
    """Values of one metric."""
    if name in ("faithfulness_correlation", "faithfulness_estimate", "monotonicity_correlation", "continuity"):
        return rng.uniform(-0.9, 0.9, size)
    if name in ("insertion", "deletion", "sufficiency", "sparseness"):
        return rng.uniform(0, 1, size)
    if name == "road":
        return rng.integers(0, 50, size).astype(float)
    if name == "irof":
        return rng.uniform(-20, 90, size)
    if name == "region_perturbation":
        return rng.uniform(-2, 9, size)
    if name == "effective_complexity":
        return rng.integers(1, 150_528, size).astype(float)
    return rng.uniform(2, 500, size)


def score_arrays(modality="image", order=PUBLISHED, observations=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.stack([draw(name, rng, (methods, observations)) for name in order], axis=1) for methods in METHODS[modality]
    ]


def map_arrays(modality="image", observations=3, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.maximum(rng.normal(size=(observations, methods, *SHAPES[modality])), 0).astype(dtype)
        for methods in METHODS[modality]
    ]

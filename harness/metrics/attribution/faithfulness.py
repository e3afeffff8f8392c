"""Faithfulness: does the model react to the removal of what a map calls important?

Corrected reading: positions (pixels, voxels, points) are ranked and removed, their channels together; equal
attributions are ordered at random, the same for all methods. LATEC's: each number by itself, equal ones in the order
of memory. "The probability" is the model's soft-max probability of the target.
"""

from harness.metrics.attribution.faithful_agreement import Infidelity, Sufficiency
from harness.metrics.attribution.faithful_correlation import (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    MonotonicityCorrelation,
)
from harness.metrics.attribution.faithful_insertion import Deletion, Insertion
from harness.metrics.attribution.faithful_removal import IROF, ROAD, PixelFlipping, RegionPerturbation

__all__ = [
    "IROF",
    "ROAD",
    "Deletion",
    "FaithfulnessCorrelation",
    "FaithfulnessEstimate",
    "Infidelity",
    "Insertion",
    "MonotonicityCorrelation",
    "PixelFlipping",
    "RegionPerturbation",
    "Sufficiency",
]

"""How good predicted classes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def accuracy(predicted: np.ndarray, targets: np.ndarray, classes: int) -> float:
    """Share of predictions (n,) that are right. In [0, 1], higher is better."""
    return float((predicted == targets).mean())


def balanced_accuracy(predicted: np.ndarray, targets: np.ndarray, classes: int) -> float:
    """Mean over the classes that occur in targets (n,) of the share that is found. In [0, 1], higher is better."""
    import numpy as np

    counts = np.bincount(targets, minlength=classes)
    found = np.bincount(targets[predicted == targets], minlength=classes)
    return float((found[counts > 0] / counts[counts > 0]).mean())

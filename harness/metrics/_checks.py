"""What every metric demands of its input, said once and in one sentence per cause."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def scored_pair(confidence: ArrayLike, residual: ArrayLike) -> tuple[NDArray[Any], FloatArray]:
    """Confidence (n,) in its own dtype, so that ties stay what they are, and residual (n,) >= 0."""
    scores = vector("confidence", confidence)
    losses = vector("residual", residual).astype(np.float64)
    same_length("confidence", scores, "residual", losses)
    if (losses < 0).any():
        raise ValueError(f"residual must not be negative: {_first(losses, losses < 0)}.")
    return scores, losses


def vector(name: str, values: ArrayLike) -> NDArray[Any]:
    """A non-empty, finite, real array of one dimension."""
    array = numeric(name, values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension (samples), got shape {array.shape}.")
    return array


def numeric(name: str, values: ArrayLike) -> NDArray[Any]:
    """A non-empty, finite, real array of any shape."""
    array = readable(name, values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}.")
    if array.size == 0:
        raise ValueError(f"{name} is empty.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: {_first(array, ~np.isfinite(array))}.")
    return array


def readable(name: str, values: ArrayLike) -> NDArray[Any]:
    """Lists, arrays and tensors alike as an array, of whatever content."""
    if np.ma.isMaskedArray(values):
        raise ValueError(f"{name} is a masked array, whose missing entries have no value to score.")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from error


def same_length(name: str, array: NDArray[Any], other_name: str, other: NDArray[Any]) -> None:
    if len(array) != len(other):
        raise ValueError(f"{name} has {len(array)} samples, {other_name} has {len(other)}.")


def class_labels(labels: ArrayLike, samples: int) -> NDArray[Any]:
    """Integer class labels (n,)."""
    array = vector("labels", labels)
    if array.dtype.kind not in "biu":
        raise ValueError(f"labels must be integers, got dtype {array.dtype}.")
    if len(array) != samples:
        raise ValueError(f"labels has {len(array)} samples, confidence has {samples}.")
    return array


def is_binary(residual: FloatArray) -> bool:
    return bool(((residual == 0) | (residual == 1)).all())


def require_binary(residual: FloatArray) -> None:
    if not is_binary(residual):
        odd = (residual != 0) & (residual != 1)
        raise ValueError(f"residual must be binary (0 correct, 1 failure): {_first(residual, odd)}.")


def require_within(name: str, array: NDArray[Any], low: float, high: float) -> None:
    outside = (array < low) | (array > high)
    if outside.any():
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}]: {_first(array, outside)}.")


def require_option(name: str, value: float, low: float, high: float) -> None:
    """A scalar option; written so that NaN fails as well."""
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value!r}.")


def _first(array: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"sample {where[0]} holds {array[where].item()!r}"

"""Arrays of a user's own files, as benchmarks of explained networks and of pools of images name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from harness.spec.errors import UsageError, unknown

if TYPE_CHECKING:
    import numpy as np


class Layout(Protocol):
    """How inputs lie in their file, and how they are normalised: see `ArraySet` and `ArrayImages`."""

    @property
    def id(self) -> str: ...
    @property
    def channels(self) -> Literal["none", "first", "last"]: ...
    @property
    def scale(self) -> float: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...


def named_array(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    """Raises UsageError for an array that the file does not have."""
    if name not in arrays:
        raise unknown(f"array in {path}", name, arrays)
    return arrays[name]


def whole_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels (n,) or (n, 1) as (n,) int64. Raises UsageError unless there is one whole number for each input."""
    import numpy as np

    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iub":
        raise UsageError(
            f"{where}: the labels are {labels.dtype} {labels.shape}; give one whole number for each of the {count} inputs."
        )
    return labels.reshape(-1).astype(np.int64)


def check_numbers(inputs: np.ndarray, where: str, what: str = "the inputs") -> None:
    if inputs.dtype.kind not in "fiub":
        raise UsageError(f"{where}: {what} hold {inputs.dtype}, not numbers; save them as numbers.")


def normalised(inputs: np.ndarray, layout: Layout) -> np.ndarray:
    """(n, c, *spatial) float32, divided by the scale, then with the mean and deviation that the layout says.

    Raises UsageError for another number of means or deviations than of channels.
    """
    import numpy as np

    if layout.channels == "none":
        inputs = inputs[:, None]
    elif layout.channels == "last":
        inputs = np.moveaxis(inputs, -1, 1)
    for field, values in (("mean", layout.mean), ("std", layout.std)):
        if len(values) not in (1, inputs.shape[1]):
            raise UsageError(
                f"{layout.id} has {len(values)} numbers in `{field}` for {inputs.shape[1]} channels; give one, or one "
                "for each channel."
            )
    by_channel = (-1, *[1] * (inputs.ndim - 2))
    mean, std = (np.asarray(values, dtype=np.float32).reshape(by_channel) for values in (layout.mean, layout.std))
    result = np.array(inputs, dtype=np.float32, order="C")  # a copy, changed in place: images may fill the memory
    result /= np.float32(layout.scale)
    result -= mean
    result /= std
    return result

"""What every reader gives: samples in a fixed order, opened without being loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Samples(Protocol):
    """An ordered set of labelled samples (images, volumes, point clouds), read piece by piece.

    The order is part of the contract: position i is the same sample on every machine.
    """

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64, whole numbers from 0."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """(n,) names that tell samples apart, such as relative file names."""
        ...

    def read(self, rows: Sequence[int]) -> list[np.ndarray]:
        """The samples at these positions, unscaled: images (h, w) or (h, w, c) uint8 of any size, volumes
        (z, y, x), clouds (points, 3) float32. Raises IntegrityError for a file that cannot be read."""
        ...

    def __len__(self) -> int: ...

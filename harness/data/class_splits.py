"""Disjoint parts of a data set with the classes in equal shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def class_splits(
    labels: np.ndarray, classes: int, sizes: Mapping[str, int], *, seed: int = 0, ascending: bool = False
) -> dict[str, list[int]]:
    """Indices of parts, drawn for each of the classes 0, 1, ... and listed as 0, 1, ... classes - 1, 0, 1, ...

    So any leading part of a list, and every k-th index of it (k prime to the number of classes), has the classes in
    equal shares. Every class needs as many labels as any other.

    sizes: of each part, of each class; the last part gets what is left. ascending: of each class, the indices of a part
    are listed in the order of the data set, else as they were drawn.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(np.flatnonzero(labels == label)) for label in range(classes)])
    parts = np.split(shuffled, np.cumsum(list(sizes.values()))[:-1], axis=1)
    parts = [np.sort(part, axis=1) for part in parts] if ascending else parts
    return {name: part.T.ravel().tolist() for name, part in zip(sizes, parts, strict=True)}

"""Disjoint parts of a data set with the classes in equal shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def class_splits(
    labels: np.ndarray,
    classes: int,
    sizes: Mapping[str, int] | Mapping[str, float],
    *,
    seed: int = 0,
    ascending: bool = False,
) -> dict[str, list[int]]:
    """Indices of parts, drawn for each of the classes 0, 1, ... and listed as 0, 1, ... classes - 1, 0, 1, ...

    So any leading part of a list, and every k-th index of it (k prime to the number of classes), has the classes in
    equal shares; where a class has more labels than another, in the shares that they have in the whole.

    sizes: of each part, of each class: numbers of samples, or shares of the class between 0 and 1; the last part gets
    what is left. ascending: of each class, the indices of a part are listed in the order of the data set, else as they
    were drawn.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    pieces = []
    for label in range(classes):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        whole = len(shuffled) if all(isinstance(size, float) for size in sizes.values()) else 1
        ends = np.rint(np.cumsum(list(sizes.values()))[:-1] * whole).astype(np.int64)
        pieces.append(np.split(shuffled, ends))
    if ascending:
        pieces = [[np.sort(part) for part in parts] for parts in pieces]
    return {name: _mixed([parts[number] for parts in pieces]) for number, name in enumerate(sizes)}


def _mixed(parts: Sequence[np.ndarray]) -> list[int]:
    """Members of parts that may differ in length, each part spread evenly over the whole; the first part first."""
    import numpy as np

    places = np.concatenate([(np.arange(len(part)) + 0.5) / max(len(part), 1) for part in parts])
    mixed: list[int] = np.concatenate(parts)[np.argsort(places, kind="stable")].tolist()
    return mixed

"""Choosing points that lie far from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_ROWS = 1024  # compared at once


def farthest_points(
    points: np.ndarray, count: int, rng: np.random.Generator, *, nearest: np.ndarray | None = None, first: int = -1
) -> np.ndarray:
    """Indices (count,) of points (n, d), each the farthest from all before it: greedy k-center (Gonzalez 1985).

    `nearest` (n,) are squared Euclidean distances to points that are there already; `first` is chosen at once if it
    is given. Of points that are equally far, `rng` draws.
    """
    import numpy as np

    order = rng.permutation(len(points))
    points = points[order].astype(np.float64)
    points -= points.mean(axis=0)  # far from the origin, differences of squares lose their digits
    norms = np.einsum("nd,nd->n", points, points)
    distances = np.full(len(points), np.inf) if nearest is None else nearest[order].astype(np.float64)
    if first >= 0:
        distances[order == first] = np.nan  # argmax takes it, whatever the others are
    chosen: list[int] = []
    for _ in range(count):
        place = int(distances.argmax())
        chosen.append(place)
        squared = np.maximum(norms + norms[place] - 2 * points @ points[place], 0)
        distances = np.fmin(distances, squared)
        distances[chosen] = -np.inf
    return order[chosen]


def nearest_squared(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance (n,) of each of points (n, d) to the nearest of others (m, d); infinite for none."""
    import numpy as np

    if not len(others):
        return np.full(len(points), np.inf)
    others = others.astype(np.float64)
    centre = others.mean(axis=0)
    others = others - centre
    norms = np.einsum("md,md->m", others, others)
    found = np.empty(len(points))
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS].astype(np.float64) - centre
        squared = np.einsum("nd,nd->n", rows, rows)[:, None] + norms - 2 * rows @ others.T
        found[start : start + _ROWS] = np.maximum(squared.min(axis=1), 0)
    return found
